"""Plug-ins: listed and read without importing them, also by many threads, and the user's own checked."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from explorer.core import plugins
from explorer.core.errors import ExplorerError


def test_one_thread_at_a_time_parses(monkeypatch: pytest.MonkeyPatch) -> None:
    parsing, parse = threading.Lock(), ast.parse

    def alone(source: str) -> ast.Module:
        assert parsing.acquire(blocking=False), "two threads parse at once"
        time.sleep(0.01)
        parsing.release()
        return parse(source)

    plugins.literal.cache_clear()
    monkeypatch.setattr(ast, "parse", alone)
    names = plugins.names("algorithm")
    with ThreadPoolExecutor(len(names)) as threads:
        formats = list(threads.map(lambda name: plugins.literal("algorithm", name, "FORMATS"), names))
    assert all("dense" in own for own in formats)


@pytest.mark.parametrize("kind", plugins.PACKAGES)
def test_names_are_sorted_and_none_is_private(kind: str) -> None:
    names = plugins.names(kind)
    assert names
    assert list(names) == sorted(names)
    assert not [name for name in names if name.startswith("_")]


def test_listing_and_reading_imports_no_plugin() -> None:
    code = (
        "import sys; from explorer.core import plugins\n"
        "for kind, package in plugins.PACKAGES.items():\n"
        "    for name in plugins.names(kind):\n"
        "        plugins.literal(kind, name, 'VERSION'); plugins.defines(kind, name, 'run')\n"
        "        assert f'{package}.{name}' not in sys.modules, name\n"
        "print(*{'torch', 'tvm', 'optuna'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_literal_is_the_value_of_a_constant_or_the_default() -> None:
    assert plugins.literal("stage", "train", "WORKER") == "torch"
    assert plugins.literal("stage", "train", "NOWHERE", default=7) == 7
    assert plugins.literal("model", "mine:build", "PRETRAINED", default="none") == "none"


def test_a_function_is_defined_where_its_source_says_so() -> None:
    assert plugins.defines("stage", "train", "run")
    assert not plugins.defines("stage", "train", "ran")
    assert plugins.defines("model", "mine:build", "anything"), "the user's own is a function"


def test_an_unknown_plugin_is_named_with_those_there_are() -> None:
    assert plugins.load("sampler", "random").__name__ == "explorer.search.samplers.random"
    with pytest.raises(ExplorerError, match=r"unknown sampler 'rando'; allowed: .*; did you mean 'random'\?"):
        plugins.load("sampler", "rando")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with modules of the user's own, of which one cannot be imported."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "own_networks.py").write_text("def build(width, classes, shape): ...\ndef bare(width): ...\nNONE = 0\n")
    (tmp_path / "own_broken.py").write_text("raise ValueError('no\\nsuch\\nthing')\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("own_networks:build", None),
        ("own_networks:bare", r"'own_networks:bare' cannot be called as bare\(width, classes, shape\): too many"),
        ("own_networks:NONE", r"'own_networks:NONE' cannot be called as NONE\("),
        ("own_networks:missing", r"module 'own_networks' of 'own_networks:missing' \(.*\) defines no 'missing'"),
        (
            "own_broken:build",
            "cannot import 'own_broken' of 'own_broken:build': ValueError: no such thing \\(.*own_broken.py:1\\)$",
        ),
        ("own_nowhere:build", "cannot import 'own_nowhere' of 'own_nowhere:build': ModuleNotFoundError: No module"),
    ],
)
def test_what_is_wrong_with_the_users_own_is_one_sentence(name: str, wrong: str | None, own: Path) -> None:
    found = plugins.check_custom("model", name, str(own))
    if wrong is None:
        assert found is None
        assert plugins.load_custom(name)(1, 2, 3) is None
    else:
        assert found is not None
        assert re.match(wrong, found), found
        assert "\n" not in found
