"""A study opened once answers as the API's functions do, from one reading of the records."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import explorer
from explorer.core.configuration import Configuration
from explorer.core.errors import ExplorerError, WorkspaceError
from explorer.results.open_study import open_study
from explorer.results.trials.trial import LAYERS
from explorer.space.limits import Limit
from explorer.workspace.database.records import Record
from explorer.workspace.store import Store
from tests.explorer.searched import searched

LIMITS = ("latency_ms <= 6", "accuracy >= 0.91")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched(tmp_path_factory.mktemp("workspace"), limits=list(LIMITS))[0].root


def test_it_says_what_the_functions_say(root: Path, tmp_path: Path) -> None:
    with explorer.open(root) as study:
        assert study.name == "drawn"
        pd.testing.assert_frame_equal(study.frame, explorer.frame(root))
        pd.testing.assert_frame_equal(study.front(), explorer.front(root))
        pd.testing.assert_frame_equal(study.ties(), explorer.ties(root))
        pd.testing.assert_frame_equal(study.nearest(), explorer.nearest(root))
        assert study.front()["number"].tolist() == [5, 3, 2]
        assert study.best(3.5) == explorer.best(3.5, workspace=root)
        assert study.best(3.5, confidence=0.9) == explorer.best(3.5, workspace=root, confidence=0.9)
        assert study.objectives == explorer.objectives(root)
        assert list(study.objectives.items()) == [
            ("accuracy", "maximize"),
            ("latency_ms", "minimize"),
            ("size_bytes", "minimize"),
        ]
        assert study.limits == explorer.study_limits(root) == tuple(map(Limit.parse, LIMITS))
        assert study.layers(3) == explorer.layers(3, root) == []
        assert study.figure(tmp_path / "one.html") == tmp_path / "one.html"
        assert study.figure() == root / "drawn.html"
    explorer.figure(tmp_path / "other.html", root)
    sizes = {page.stat().st_size for page in (*tmp_path.glob("*.html"), root / "drawn.html")}
    assert len(sizes) == 1
    records, name = explorer.study_records(root)
    assert (name, records.count(name).complete) == ("drawn", 10)
    records.close()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("nothing")])
def test_the_page_of_a_workspace_takes_the_place_of_what_is_none(
    make: Callable[[Path], None], root: Path, tmp_path: Path
) -> None:
    place = tmp_path / "workspace"
    shutil.copytree(root, place, ignore=shutil.ignore_patterns("*.html"))
    make(place / "drawn.html")
    with explorer.open(place) as study:
        assert "<html>" in study.figure().read_text()


def test_all_answers_are_about_the_trials_of_its_first_reading(tmp_path: Path) -> None:
    place, records = searched(tmp_path)
    with open_study(place.root) as study, open_study(place.root) as later:
        before = len(study.frame)
        better = {**later.records.complete("drawn")[0][2].values, "accuracy": 0.999}
        records.add_trial("drawn", 12, Configuration("digits", "vgg16"), Record(better), 1.0)
        assert len(study.frame) == before == 12
        assert 12 not in study.front()["number"].tolist()
        assert later.front()["number"].tolist()[0] == 12


def test_what_was_read_stays_when_it_is_closed(root: Path) -> None:
    with explorer.open(root) as study:
        front = study.front()
    pd.testing.assert_frame_equal(study.front(), front)
    assert study.records.engine.pool.checkedin() == 0  # type: ignore[attr-defined]


def test_the_account_of_a_network_is_read_from_its_artifact(tmp_path: Path) -> None:
    place, records = searched(tmp_path)
    key = "1" * 64
    values = {**records.complete("drawn")[0][2].values, "build_key": key}
    records.add_trial("drawn", 12, Configuration("digits", "vgg16"), Record(values), 1.0)
    account: list[object] = [{"name": "a", "operator": "conv2d"}]
    with explorer.open(place.root) as study:
        assert study.layers(12) == []
        assert study.trial(12).as_dict()["layers"] == []
    _publish_build(place.artifacts, key, account)
    with explorer.open(place.root) as study:
        assert list[object](study.layers(12)) == account
        assert list[object](study.trial(12).layers) == account


def _publish_build(artifacts: Path, key: str, account: object) -> None:
    store = Store(artifacts)
    with store.draft() as draft:
        (draft / LAYERS).write_text(json.dumps(account))
        store.publish("build", key, draft, {}, 1.0)


def test_one_trial_has_its_row_and_its_log(root: Path) -> None:
    with explorer.open(root) as study:
        died = study.trial(4)
        assert (died.row["state"], died.row["failure"], died.log) == (
            "failed",
            "trial 4 [died]",
            "the last line of the log",
        )
        assert study.trial(3).row["latency_ms"] == 4.0
        assert study.trial(3).log == ""
        with pytest.raises(ExplorerError, match="study 'drawn' has no finished trial 99; its last is 11"):
            study.trial(99)


def test_names_that_are_not_there_are_errors(root: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=r"no study 'drawm'.*did you mean 'drawn'"):
        explorer.open(root, "drawm")
    with pytest.raises(WorkspaceError, match="no study in workspace"):
        explorer.open(tmp_path)
    with explorer.open(root) as study, pytest.raises(ExplorerError, match="no trial has run on device 'locl'"):
        study.front("locl")


def test_what_ties_with_the_front_stands_apart_from_it(tmp_path: Path) -> None:
    place, records = searched(tmp_path)
    values = records.complete("drawn")[0][2].values
    for number, latency, model in ((12, 1.0, "vgg16"), (13, 1.01, "resnet18")):
        ends = {"latency_low_ms": 0.95 * latency, "latency_high_ms": 1.05 * latency}
        again = Record({**values, "latency_ms": latency, **ends})
        records.add_trial("drawn", number, Configuration("digits", model, device="board"), again, 1.0)
    with explorer.open(place.root) as study:
        front, ties = study.front("board"), study.ties("board")
        assert (front["number"].tolist(), ties["number"].tolist()) == ([12], [13])
        columns = [*study.frame.columns, "front_probability", "knee"]
        assert front.columns.tolist() == ties.columns.tolist() == columns
        assert front["front_probability"].item() + ties["front_probability"].item() == pytest.approx(1.0)
        assert study.ties("local").empty
        assert study.front_with_ties("board")["tied"].tolist() == [False, True]
        assert study.ties()["number"].tolist() == [13]
        with pytest.raises(ExplorerError, match="no trial has run on device 'bord'"):
            study.ties("bord")


def test_of_several_devices_one_is_chosen(tmp_path: Path) -> None:
    place, records = searched(tmp_path)
    values = records.complete("drawn")[0][2].values
    records.add_trial("drawn", 12, Configuration("digits", "vgg16", device="board"), Record(values), 1.0)
    with explorer.open(place.root) as study:
        with pytest.raises(ExplorerError, match="several devices: board, local; choose one with --device"):
            study.best(5)
        stack = study.best(5, "board").stack
        assert stack is not None
        assert stack.number == 12
