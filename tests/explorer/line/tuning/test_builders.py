"""Builders: decisions shared out, one bad candidate found among others, and processes replaced when they are gone."""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from explorer.line.tuning import builders as module
from explorer.line.tuning.builders import SECONDS_PER_CANDIDATE, Builders, Library

PROGRAM = Path("program.json")


class Scripted:
    """Builds every decision but ``bad``, at which it is gone, and ``wrong``, which does not fit the program.

    At ``killed`` a signal ends it, as often as ``kills`` says.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[list[Any], float]] = []
        self.kills = 0

    def request(self, request: tuple[Any, ...], seconds: float) -> Any:
        decisions = request[3]
        self.asked.append((decisions, seconds))
        if "killed" in decisions and self.kills:
            self.kills -= 1
            raise module._GoneError("build crash", "the builder ended with exit code -9", by_signal=True)
        if "bad" in decisions:
            raise module._GoneError("build crash", "the builder ended with exit code 1")
        symbols = [None if each == "wrong" else f"candidate_{number}" for number, each in enumerate(decisions)]
        return symbols, [["schedule", "it does not fit"] if each == "wrong" else None for each in decisions]

    def stop(self) -> None: ...


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[Scripted]:
    made: list[Scripted] = []

    def build(context: object) -> Scripted:
        made.append(Scripted())
        return made[-1]

    monkeypatch.setattr(module, "_Builder", build)
    return made


def test_decisions_are_shared_out_and_keep_their_indices(scripted: list[Scripted], tmp_path: Path) -> None:
    with Builders({}, "template", 2) as builders:
        libraries, errors = builders.build(PROGRAM, [None, "a", "b", "wrong", "c"], tmp_path)
    assert [own.asked for own in scripted] == [
        [([None, "b", "c"], 3 * SECONDS_PER_CANDIDATE)],
        [(["a", "wrong"], 2 * SECONDS_PER_CANDIDATE)],
    ]
    assert [library.functions for library in libraries] == [
        [(0, "candidate_0"), (2, "candidate_1"), (4, "candidate_2")],
        [(1, "candidate_0")],
    ]
    assert len({library.path for library in libraries}) == 2
    assert errors == {3: ("schedule", "it does not fit")}


def test_no_more_builders_are_asked_than_there_are_decisions(scripted: list[Scripted], tmp_path: Path) -> None:
    with Builders({}, "template", 3) as builders:
        assert len(builders.build(PROGRAM, [None], tmp_path)[0]) == 1
        assert builders.build(PROGRAM, [], tmp_path) == ([], {})
    assert [len(own.asked) for own in scripted] == [1, 0, 0]


def test_one_bad_candidate_costs_no_other(scripted: list[Scripted], tmp_path: Path) -> None:
    with Builders({}, "template", 1) as builders:
        libraries, errors = builders.build(PROGRAM, [None, "bad", "a"], tmp_path)
    assert [library.functions for library in libraries] == [[(0, "candidate_0")], [(2, "candidate_0")]]
    assert errors == {1: ("build crash", "the builder ended with exit code 1")}
    assert [decisions for decisions, _ in scripted[0].asked] == [[None, "bad", "a"], [None], ["bad"], ["a"]]


@pytest.mark.parametrize(("kills", "asked"), [(1, 2), (2, 2)])
def test_a_candidate_is_built_again_where_a_signal_ended_its_builder(
    kills: int, asked: int, scripted: list[Scripted], tmp_path: Path
) -> None:
    with Builders({}, "template", 1) as builders:
        scripted[0].kills = kills
        libraries, errors = builders.build(PROGRAM, ["killed"], tmp_path)
    assert (len(libraries), sorted(errors)) == ((1, []) if kills == 1 else (0, [0]))
    assert len(scripted[0].asked) == asked


def test_what_builds_nothing_is_no_library(scripted: list[Scripted], tmp_path: Path) -> None:
    with Builders({}, "template", 1) as builders:
        found: tuple[list[Library], dict[int, tuple[str, str]]] = builders.build(PROGRAM, ["wrong"], tmp_path)
    assert found == ([], {0: ("schedule", "it does not fit")})


def serve(pipe: Connection) -> None:
    """Answer a request by this process's number, after so many seconds, or end with an exit code."""
    while True:
        seconds, code = json.loads(pipe.recv_bytes())
        time.sleep(seconds)
        if code:
            os._exit(code)
        pipe.send_bytes(json.dumps(os.getpid()).encode())


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Iterator[module._Builder]:
    """A builder whose process runs `serve` instead of importing TVM."""
    building = ModuleType("building")
    monkeypatch.setattr(building, "serve", serve, raising=False)
    monkeypatch.setitem(sys.modules, "explorer.line.tuning.building", building)
    made = module._Builder(multiprocessing.get_context("spawn"))
    yield made
    made.stop()


def test_a_builder_is_kept_until_it_is_gone_and_then_replaced(builder: module._Builder) -> None:
    first = builder.request((0.0, 0), 5)
    assert builder.request((0.0, 0), 5) == first
    with pytest.raises(module._GoneError) as crash:
        builder.request((0.0, 3), 5)
    assert crash.value.error == ("build crash", "the builder ended with exit code 3")
    second = builder.request((0.0, 0), 60)
    assert second != first
    with pytest.raises(module._GoneError) as late:
        builder.request((60.0, 0), 0.1)
    assert late.value.error == ("build timeout", "not built within 0.1 s")
    assert builder._process is None, "its late reply would be taken for the next request's"
