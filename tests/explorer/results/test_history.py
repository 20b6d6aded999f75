from __future__ import annotations

import datetime
from pathlib import Path

from explorer.core.measurement.sessions import Readings, Session
from explorer.results.history import history_of
from explorer.results.open_study import open_study
from explorer.results.progress.watch import Watch
from explorer.workspace.database.records import Record
from tests.explorer.searched import searched


def test_the_sessions_of_a_stack_oldest_first_and_what_disturbed_them(tmp_path: Path) -> None:
    place, records = searched(tmp_path)
    number, configuration, record = records.complete("drawn")[0]
    records.revise("drawn", number, Record({**record.values, "measure_key": "m"}))
    for median, taken in ((1.0, 0.0), (1.5, 0.8), (1.1, 0.0)):
        session = Session(median, Readings(taken=taken))
        records.measurements.add_session("m", configuration.device, configuration.threads, session, [median], {})
    with open_study(place.root) as opened:
        known = history_of(opened, number)
        assert known.end is not None
        assert (known.end.number, known.end.seconds) == (number, 0.1)
        age = datetime.datetime.now(datetime.UTC) - known.end.finished
        assert datetime.timedelta() <= age < datetime.timedelta(minutes=10)
        sessions = known.sessions[configuration.device]
        assert [each.median_ms for each in sessions] == [1.0, 1.5, 1.1]
        assert [each.disturbed for each in sessions] == ["", "other processes took 80% of a core", ""]
        assert sessions[0].taken <= sessions[1].taken <= sessions[2].taken
        failed = int(opened.frame[opened.frame["state"] == "failed"].iloc[0]["number"])
        assert history_of(opened, failed).sessions == {}
        assert history_of(opened, 999).end is None
    records.close()


def test_a_version_changes_with_everything_that_is_put_on_record(tmp_path: Path) -> None:
    place, records = searched(tmp_path)
    watch = Watch(place.root)
    assert watch.names() == ["drawn"]
    versions = [watch.version("drawn"), watch.version("drawn")]
    assert versions[0] == versions[1]
    number, configuration, record = records.complete("drawn")[0]
    records.executions.add("build", "k", 1.0)
    versions.append(watch.version("drawn"))
    records.measurements.add_session("m", "local", 1, Session(1.0), [1.0], {})
    versions.append(watch.version("drawn"))
    records.add_trial("drawn", 500, configuration.__class__("own", "resnet18"), record, 1.0)
    versions.append(watch.version("drawn"))
    assert len(set(versions[1:])) == 4
    assert number == 0
    watch.close()
    records.close()
