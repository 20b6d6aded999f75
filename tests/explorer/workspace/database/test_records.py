"""Records: each trial once, in the file that Optuna uses."""

from __future__ import annotations

import sqlalchemy as sa

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.workspace.database.records import Record, Records

CONFIGURATION = Configuration("digits", "resnet18")


def test_a_trial_is_recorded_once(records: Records) -> None:
    records.add_trial("s", 0, CONFIGURATION, Record({"accuracy": 0.9}), 1.0)
    records.add_trial("s", 0, CONFIGURATION, Record({"accuracy": 0.1}), 1.0)
    assert records.outcome("s", 0) == Record({"accuracy": 0.9})
    assert records.count("s") == (1, 0, 0)


def test_a_failure_comes_back_as_it_was(records: Records) -> None:
    failure = Failure("measure", "crash", "the device is gone", "log")
    records.add_trial("s", 3, CONFIGURATION, failure, 1.0)
    assert records.outcome("s", 3) == failure
    assert records.outcome("s", 4) is None
    assert records.count("s") == (0, 1, 0)


def test_studies_do_not_mix_and_the_latest_is_first(records: Records) -> None:
    records.add_trial("early", 0, CONFIGURATION, Record({}), 1.0)
    records.add_trial("late", 0, CONFIGURATION, Record({}), 1.0)
    assert records.studies() == ["late", "early"]
    assert records.count("early") == (1, 0, 0)


def test_the_frame_has_axes_values_and_failures(records: Records) -> None:
    records.add_trial("s", 1, CONFIGURATION, Failure("train", "not_finite", "the loss became nan"), 2.0)
    other = Configuration("digits", "mobilenetv2", threads=2)
    records.add_trial("s", 0, other, Record({"accuracy": 0.9, "latency_ms": 1.5}), 1.0)
    complete, failed = records.frame("s").to_dict("records")
    assert (complete["number"], complete["state"], complete["latency_ms"]) == (0, "complete", 1.5)
    assert (complete["model"], complete["threads"], complete["configuration_id"]) == ("mobilenetv2", 2, other.id)
    assert (failed["number"], failed["state"], failed["failed_stage"]) == (1, "failed", "train")
    assert failed["failure"] == "the loss became nan"


def test_sqlite_is_in_write_ahead_mode(records: Records) -> None:
    with records.engine.connect() as connection:
        assert connection.execute(sa.text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(sa.text("PRAGMA synchronous")).scalar() == 1
