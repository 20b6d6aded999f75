"""A node of the Ray engine: one worker process for a place, its words in a file, and a device on the node's cores."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from explorer.engines import ray_node
from explorer.engines.ray_node import Loopback, Place, Words
from explorer.engines.workers import ALONE, TORCH
from explorer.processes import loopback


@pytest.fixture(autouse=True)
def _own_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """End the workers of each test."""
    workers: dict[Place, Any] = {}
    monkeypatch.setattr(ray_node, "_WORKERS", workers)
    yield
    for worker in workers.values():
        worker.stop()


def call(function: str, **arguments: object) -> Mapping[str, object]:
    return {"call": function, "arguments": arguments}


SPEAKING = """
import os
from explorer.line.execution import current

def speak(text):
    current().note(text)
    return os.getpid()
"""


def test_one_worker_of_a_place_answers_where_the_explorer_was_started(tmp_path: Path) -> None:
    place = Place(ALONE, 1, str(tmp_path), str(tmp_path))
    assert ray_node.answer(place, call("os:getcwd"), 60, None) == {"values": str(tmp_path)}
    (tmp_path / "speaking.py").write_text(SPEAKING)
    words, own = tmp_path / "words", call("speaking:speak", text="a file is damaged")
    first, second = (ray_node.answer(place, own, 60, str(words)) for _ in range(2))
    assert first["values"] == second["values"] != os.getpid(), "one process, which is not this one"
    assert [json.loads(line) for line in words.read_text().splitlines()] == [{"note": "a file is damaged"}]
    [worker] = ray_node._WORKERS.values()
    assert (worker.kind, worker.threads) == (TORCH, 1)
    failed = ray_node.answer(place, call("os:remove", path="nowhere"), 60, None)["failure"]
    assert isinstance(failed, dict)
    assert (failed["stage"], failed["kind"]) == ("os:remove", "exception")
    assert "FileNotFoundError" in failed["message"]


def test_what_a_task_left_that_died_with_its_node_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "new" / "out"
    seen: list[list[str]] = []

    class Worker:
        def request(self, request: Mapping[str, Any], *_: object) -> dict[str, int]:
            seen.append(os.listdir(request["out"]))
            (Path(request["out"]) / "file").touch()
            return {"n": 1}

    monkeypatch.setattr(ray_node, "_worker", lambda place: Worker())
    for _ in range(2):
        place = Place(TORCH, 1, str(tmp_path), str(tmp_path))
        assert ray_node.answer(place, {"stage": "train", "out": str(out)}, None, None) == {"values": {"n": 1}}
    assert seen == [[], []]


def test_relative_paths_start_where_the_explorer_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "speaking.py").write_text(SPEAKING)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # as Ray's own processes are
    place = Place(TORCH, 1, str(tmp_path), str(tmp_path))
    answer = ray_node.answer(place, {**call("speaking:speak", text="heard"), "out": "new/out"}, 60, "words")
    assert "values" in answer, answer
    assert (tmp_path / "new" / "out").is_dir()
    assert json.loads((tmp_path / "words").read_text()) == {"note": "heard"}
    assert not os.listdir()


def test_each_word_is_passed_on_once_and_as_a_whole(tmp_path: Path) -> None:
    heard: list[Any] = []
    path = tmp_path / "words"
    words = Words(path, heard.append)
    words.tell()
    path.write_text('{"note": "a"}\n{"note": ')
    words.tell()
    words.tell()
    assert heard == [{"note": "a"}]
    path.write_text('{"note": "a"}\n{"note": "b"}\n')
    words.tell()
    assert heard == [{"note": "a"}, {"note": "b"}]
    path.write_text('{"note": "c"}\n')
    words.tell()
    assert heard[2:] == [{"note": "c"}], "the task began again on another node"


def test_without_a_file_there_are_no_words() -> None:
    heard: list[Any] = []
    Words(None, heard.append).tell()
    assert heard == []


def test_a_device_has_all_cores_of_its_node_unless_it_names_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def server(key: str, cores: Sequence[int], log: Path) -> Iterator[str]:
        yield f"{key} on {list(cores)} to {log.name}"

    monkeypatch.setattr(loopback, "server", server)
    everything = tuple(sorted(os.sched_getaffinity(0)))
    served = Loopback().serve("local", None, str(tmp_path / "log"))
    assert (served.tracker, served.cores) == (f"local on {list(everything)} to log", everything)
    assert Loopback().serve("local", [1], str(tmp_path / "log")).cores == (1,)
