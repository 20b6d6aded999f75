"""An emulated device that cannot be made says what is missing; `tests/rpc/test_emulated_arm.py` makes one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from explorer.space import devices
from tests import emulated_arm


def test_its_entry_is_that_of_an_emulated_device(tmp_path: Path) -> None:
    (tmp_path / "devices.toml").write_text(emulated_arm.entry("127.0.0.1:9190", "neoverse-n1", "other", 2))
    found = devices.load(tmp_path / "devices.toml")["other"]
    assert (found.tracker, found.key, found.emulated) == ("127.0.0.1:9190", "other", True)
    assert found.target == {"kind": "llvm", "mtriple": "aarch64-linux-gnu", "mcpu": "neoverse-n1", "num-cores": 2}


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        ({}, "an emulated device needs apt-get and dpkg, to have Debian's packages; this system lacks them"),
        (
            {"apt-get": "echo 'E: no network' >&2; exit 100", "dpkg": "exit 1"},
            "an emulated device lacks a list of Debian's packages: E: no network",
        ),
    ],
)
def test_what_cannot_be_had_is_one_sentence(
    programs: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, does in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(emulated_arm.Missing) as error:
        emulated_arm.installed(tmp_path / "cache")
    assert str(error.value) == message
    assert os.listdir(tmp_path / "cache") == ["lock"], "nothing that is half done stays"
