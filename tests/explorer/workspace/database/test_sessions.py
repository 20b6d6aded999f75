"""Sessions on record: latencies by all that is known of the device, of a simulated one within what is true."""

from __future__ import annotations

from pathlib import Path
from statistics import median

import pytest
import sqlalchemy as sa

from explorer.core.measurement.sessions import SPREAD, Estimate, Readings, Session, estimate, pooled_spread
from explorer.workspace.database.records import Records
from tests.explorer.simulated_device import Measured, SimulatedDevice

NEAR, FAR = Readings(0.3, 0.8, 2.0), Readings(0.3, 1.7, 2.0)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(f"sqlite:///{tmp_path}/study.db")


def add(records: Records, key: str, *sessions: Session, device: str = "local", threads: int = 1) -> None:
    for session in sessions:
        records.measurements.add_session(key, device, threads, session, [session.median_ms], {})


def test_sessions_come_back_in_their_order(records: Records) -> None:
    own = [Session(4.0, NEAR), Session(3.0, FAR), Session(5.0)]
    add(records, "a", *own)
    add(records, "b", Session(9.0, NEAR))
    add(records, "a", Session(7.0, NEAR), device="board")
    assert records.sessions.of("a", "local") == own
    assert records.sessions.of("a", "board") == [Session(7.0, NEAR)]
    assert records.sessions.of("c", "local") == []
    again = Records(str(records.engine.url))
    assert again.sessions.of("a", "local") == own


def test_one_emulated_session_marks_the_latency(records: Records) -> None:
    add(records, "a", Session(4.0, NEAR), Session(4.0, NEAR, emulated=True))
    add(records, "b", Session(4.0, NEAR))
    latencies = Records(str(records.engine.url)).sessions.latencies()
    assert [latencies[key, "local"].emulated for key in "ab"] == [True, False]
    assert latencies["a", "local"].as_columns(1)["latency_emulated"] is True
    assert "latency_emulated" not in latencies["b", "local"].as_columns(1)


def test_a_session_is_a_measurement_whose_samples_stay(records: Records) -> None:
    records.measurements.add_session("a", "local", 2, Session(4.0, NEAR), [3.0, 4.0, 9.0], {"waited_s": 1.5})
    (observation,) = records.measurements.of("a", "local")
    assert (observation["samples_ms"], observation["details"]) == ([3.0, 4.0, 9.0], {"waited_s": 1.5})
    assert records.measurements.median("a", "local") == 4.0


def test_a_measurement_that_is_no_session_has_no_latency(records: Records) -> None:
    records.measurements.add("a", "local", [1.0, 2.0], {})
    assert records.sessions.latency("a", "local") is None
    assert records.sessions.latencies() == {}


def test_one_session_has_the_spread_that_devices_have(records: Records) -> None:
    add(records, "a", Session(4.0, NEAR))
    assert records.sessions.latency("a", "local") == Estimate(estimate([4.0], SPREAD), 1, taken=1)


def test_other_stacks_tell_of_the_device(records: Records) -> None:
    """What they spread by and what is usual; of another number of threads or device nothing."""
    add(records, "a", Session(4.0, NEAR), Session(8.0, FAR))
    noisy = [Session(4.0, NEAR), Session(6.0, NEAR)]
    add(records, "b", *noisy)
    for device, threads in (("board", 1), ("local", 2)):
        add(records, f"c{threads}", Session(1.0, FAR), Session(1.0, FAR), device=device, threads=threads)
    spread = pooled_spread([[4.0, 6.0]])
    assert records.sessions.latency("a", "local") == Estimate(estimate([4.0], spread), 1, taken=2)
    assert records.sessions.usual("local", 1) == NEAR
    assert records.sessions.usual("local", 2) == records.sessions.usual("board", 1) == FAR
    found = records.sessions.latency("c2", "local")
    assert found is not None
    assert (found.sessions, found.disturbed) == (2, ""), "all that is known of two threads there"


def test_all_latencies_are_those_of_each(records: Records) -> None:
    for number in range(7):
        add(records, f"k{number}", *(Session(4.0 + session, NEAR) for session in range(1 + number % 3)))
        add(records, f"k{number}", Session(1.0, FAR), device="board", threads=2)
    found = records.sessions.latencies()
    assert len(found) == 14
    again = Records(str(records.engine.url)).sessions
    assert found == {(key, device): again.latency(key, device) for key, device in found}


def test_what_is_known_of_a_device_is_read_again_as_it_grows(records: Records) -> None:
    """Another one's 10 % change it, and where few are known every session does."""
    sessions = records.sessions
    for number in range(9):
        add(records, "a", Session(4.0, NEAR))
        assert sessions.known("local", 1).sessions == number + 1
    for number in range(30):
        add(records, "a", Session(4.0, NEAR))
        known = sessions.known("local", 1)
        assert 0 <= number + 10 - known.sessions <= known.sessions / 10
    assert sessions.known("local", 1).sessions < 39
    latencies = sessions.latencies()
    assert sessions.known("local", 1).sessions == 39, "all is read there anyway"
    assert latencies["a", "local"].sessions == 39


def test_a_session_and_its_measurement_are_put_on_record_together(records: Records) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        records.measurements.add_session("a", "local", 1, Session(None), [4.0], {})  # type: ignore[arg-type]
    assert records.measurements.of("a", "local") == []
    assert records.sessions.of("a", "local") == []


STACKS = 1000


@pytest.mark.parametrize("seed", [0, 1])
def test_the_truth_of_a_simulated_device_is_within_the_intervals(records: Records, seed: int) -> None:
    """Two sessions apart in time, disturbed ones again, and up to four of each third stack.

    The truth is the latency in the near placement, with no burst and no drift. The intervals cover 99.0 to 99.7 %
    (seeds 0 to 2), and their median width is 13 to 15 % of the latency.
    """
    device = SimulatedDevice(seed)
    stacks = [device.stack() for _ in range(STACKS)]
    found = Measured(device, stacks, records).by_protocol(range(0, STACKS, 3), most=4)
    told = [(stack, known.interval) for stack, known in zip(stacks, found, strict=True) if not known.disturbed]
    assert len(told) > 0.95 * STACKS
    assert sum(low <= stack.truth <= high for stack, (_, low, high) in told) >= 0.9 * len(told)
    assert median(high / low - 1 for _, (_, low, high) in told) < 0.16
