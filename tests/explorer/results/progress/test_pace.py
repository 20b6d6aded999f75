from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.results.open_study import open_study
from explorer.results.progress.pace import Pace, pace_of, seconds_each
from explorer.search.optuna_study.study import Study
from explorer.space import space
from explorer.workspace.database.history import End
from explorer.workspace.database.records import Records
from tests.explorer.searched import searched

NOON = datetime.datetime(2026, 1, 5, 12, tzinfo=datetime.UTC)


def ends(gaps: list[float], seconds: float) -> list[End]:
    """Return ends of trials that took `seconds` each, with `gaps` between them."""
    times = [NOON + datetime.timedelta(seconds=sum(gaps[:index])) for index in range(len(gaps) + 1)]
    return [End(number, seconds, time) for number, time in enumerate(times)]


@given(st.lists(st.floats(0.1, 50), min_size=1, max_size=20))
def test_the_pace_is_the_mean_time_between_two_ends(gaps: list[float]) -> None:
    assert seconds_each(ends(gaps, 60.0)) == pytest.approx(sum(gaps) / len(gaps), abs=1e-5)


def test_a_pause_between_two_runs_does_not_count() -> None:
    assert seconds_each(ends([10.0, 86_400.0, 10.0], 10.0)) == pytest.approx(10.0)
    assert seconds_each(ends([], 10.0)) is None


def test_the_time_left_follows_from_pace_and_number() -> None:
    assert Pace(4, 10, 2.5, [], None).seconds_left == 15.0
    assert Pace(12, 10, 2.5, [], None).seconds_left == 0.0
    assert Pace(4, None, 2.5, [], None).seconds_left is None
    assert Pace(1, 10, None, [], None).seconds_left is None
    assert Pace(1, 10, None, [], None).silent_seconds(NOON) is None


def test_the_pace_of_a_study_on_record(tmp_path: Path) -> None:
    place, records = searched(tmp_path)
    with open_study(place.root) as opened:
        pace = pace_of(opened.records, opened.name, opened.wanted)
        assert (pace.ended, pace.wanted, pace.begun) == (12, 12, [])
        assert pace.last is not None
        assert (pace.last.stage, pace.last.seconds) == ("train", 1.5)
        silent = pace.silent_seconds(pace.last.finished + datetime.timedelta(seconds=30))
        assert silent == 30.0
    again = space.load(Path(opened.space_file)).searched(trials=20)
    asked = Study(again, place, Records(place.url)).ask()
    assert asked is not None
    with open_study(place.root) as opened:
        pace = pace_of(opened.records, opened.name, opened.wanted)
        assert pace.wanted == 20, "what the latest run asks for"
        assert [each.number for each in pace.begun] == [asked[0]]
        assert abs((datetime.datetime.now() - pace.begun[0].start).total_seconds()) < 600
    records.close()
