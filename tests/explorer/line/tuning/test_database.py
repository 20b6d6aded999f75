"""What is on record of a program: kept line by line, also through a kill, with what was lost and who came first."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.core.files import regular
from explorer.line.execution import Execution, executing
from explorer.line.tuning.database import Database, Log, Trial
from tests.damage import damages

DECISIONS = st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), min_size=1) | st.lists(st.integers(), max_size=3)
TRIALS = st.builds(
    Trial,
    decision=DECISIONS,
    samples_ms=st.lists(st.floats(0.001, 100), min_size=1, max_size=4).map(tuple),
    failure=st.none(),
    seconds=st.floats(0, 9).map(lambda seconds: round(seconds, 4)),
) | st.builds(Trial, decision=DECISIONS, failure=st.tuples(st.sampled_from(["run", "crash"]), st.text(max_size=5)))


@settings(max_examples=40, deadline=None)
@given(st.lists(TRIALS, min_size=1, max_size=5), st.data())
def test_a_file_cut_anywhere_keeps_all_whole_lines(trials: list[Trial], data: st.DataObject) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        log = Log(path)
        for trial in trials:
            log.add([trial])
        assert Log(path).trials == log.trials == trials
        content = path.read_bytes()
        cut = data.draw(st.integers(0, len(content)))
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert Log(path).trials == trials[:whole]
        Log(path).add(trials[whole:])
        assert path.read_bytes() == content


def test_the_rule_based_schedule_is_no_trial(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.add([Trial(None, (2.0, 1.0, 3.0)), Trial({"tile": 1}, (1.0,))])
    again = Log(tmp_path / "log.jsonl")
    assert again.rule is not None
    assert again.rule.ms == 2.0
    assert [trial.decision for trial in again.trials] == [{"tile": 1}]


def test_what_was_lost_is_known_until_it_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    Log(path).lose([{"tile": [1, 2]}, None])
    Log(path).lose([{"tile": [1, 2]}])
    log = Log(path)
    assert log.losses({"tile": [1, 2]}) == 2
    assert log.losses(None) == 1
    assert log.unfinished() == [{"tile": [1, 2]}, None]
    log.add([Trial({"tile": [1, 2]}, (), ("crash", "gone"))])
    assert Log(path).unfinished() == [None]


def test_finals_are_those_of_exactly_these(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl")
    log.add_finals([None, {"tile": 1}], [[[3.0], [4.0]], [[1.0, 2.0], []]], 0.5)
    again = Log(tmp_path / "log.jsonl")
    assert again.finals([{"tile": 1}, None]) == ([[[1.0, 2.0], []], [[3.0], [4.0]]], 0.5)
    assert again.finals([None]) is None
    assert again.trials == []


def test_finals_of_a_single_session_are_read_as_they_were_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"final":[[null,[3.0,4.0]],[{"tile":1},[1.0,2.0]],[{"tile":2},[]]],"seconds":0.5}\n')
    decisions = [None, {"tile": 1}, {"tile": 2}]
    assert Log(path).finals(decisions) == ([[[3.0, 4.0]], [[1.0, 2.0]], [[]]], 0.5)


def test_a_database_names_the_others_that_were_measured(tmp_path: Path) -> None:
    database = Database(tmp_path)
    database.log("template", "one", {"schedule": "direct/dense"}).add([Trial({}, (1.0,))])
    database.log("template", "two", {"schedule": "gemm/dense"})  # nothing measured yet
    database.log("generated", "three", {}).add([Trial([], (1.0,))])
    assert [found for found, _ in database.others("template", "two")] == [{"schedule": "direct/dense"}]
    assert database.others("template", "one") == []


@pytest.mark.parametrize("seed", range(4))
def test_damaged_lines_are_left_out_and_the_others_stay(seed: int, tmp_path: Path) -> None:
    path, words = tmp_path / "place" / "tuning" / "layer.jsonl", list[Any]()
    trials = [Trial({"tile": [index, 2]}, (1.5 + index, 2.5), seconds=0.5) for index in range(8)]
    Log(path).add(trials)
    whole = path.read_bytes()
    for index in range(len(list(damages(path, random.Random(seed))))):
        name, apply = list(damages(path, random.Random(seed)))[index]
        apply()
        with executing(Execution(None, words.append)):
            left = Log(path).trials
        assert [trial for trial in left if trial not in trials] == [], name
        Log(path).add([trials[0]])
        said = len(words)
        with executing(Execution(None, words.append)):
            assert Log(path).trials[-1] == trials[0], name
        assert len(words) == said, "it is said once"
        for file in path.parent.iterdir():
            regular.clear(file)
        path.write_bytes(whole)
    assert any("left out of the tuning" in word["note"] for word in words)


def test_lines_of_before_have_no_checksum(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"decision":[1],"samples_ms":[1.5],"seconds":0.5}\n')
    assert Log(tmp_path / "log.jsonl").trials == [Trial([1], (1.5,), seconds=0.5)]


def test_a_damaged_description_is_written_again_and_that_of_another_program_left_out(tmp_path: Path) -> None:
    database = Database(tmp_path)
    for name in ("own", "other"):
        database.log("template", name, {"name": name}).lose([None])
        (tmp_path / "template" / f"{name}.json").write_text("[" * 5000)
    database.log("template", "own", {"name": "own"})
    assert database.others("template", "own") == []
    assert [own["name"] for own, _ in database.others("template", "other")] == ["own"]
