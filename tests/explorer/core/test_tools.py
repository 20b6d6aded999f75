"""A program that links is there, or its absence is one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tvm.support import cc

from explorer.core import tools
from explorer.core.errors import ExplorerError


def test_all_tools_are_here() -> None:
    assert tools.lacking() is None
    tools.check()


def test_the_compiler_is_the_one_that_tvm_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tools.chosen() == Path(cc.get_cc()).name
    monkeypatch.setenv("CC", "/opt/some cc")
    assert tools.chosen() == cc.get_cc() == "/opt/some cc"


def test_a_missing_program_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ExplorerError, match=rf"no program 'tar' in PATH \({re.escape(str(tmp_path))}\): install tar"):
        tools.check()
    (tmp_path / "tar").symlink_to("/bin/true")
    with pytest.raises(ExplorerError, match="no C compiler"):
        tools.check()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ExplorerError, match="'no-such-compiler', which CXX or CC names"):
        tools.check()


def test_a_compiler_that_finds_no_linker_is_said_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = tmp_path / "gcc"
    compiler.write_text("#!/bin/sh\necho \"collect2: fatal error: cannot find 'ld'\" >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(ExplorerError, match="cannot link a library: collect2: fatal error: cannot find 'ld'"):
        tools.check()
