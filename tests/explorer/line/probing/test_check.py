"""Checks of a device that lacks something, in a session in this process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import tvm
from tvm import rpc as tvm_rpc

from dlas_ops.processor.targets import native_target
from explorer.line.probing import check, self_description
from explorer.line.probing.answers import Answers, Description, Peaks

ASKED = Answers("board", "lan:9190", "board", tracker=True, server=True)
PEAKS = Peaks(2.0, 1.0, 2.0, 1.0, 4)


@pytest.fixture
def session() -> Any:
    return tvm_rpc.LocalSession()


@pytest.fixture(autouse=True)
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check.Probe, "measured", lambda probe, free_bytes: PEAKS)


def asked(session: Any) -> Answers:
    return check._asked(ASKED, session, "native", ())


def test_a_device_with_all_of_it_is_not_refused(session: Any) -> None:
    found = asked(session)
    assert (found.refusal, found.compiler, found.control, found.peaks) == ("", True, "", PEAKS)


def test_a_device_without_a_compiler_is_refused_with_what_to_type(
    session: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        self_description, "described", lambda *_: self_description.Reached(Description("x86_64"), "cc is missing")
    )
    found = asked(session)
    assert (found.compiler, found.control, found.peaks) == (False, None, None)
    assert found.refusal == (
        "no library can be linked on device 'board' (cc is missing); install a C compiler there, on Debian with 'sudo "
        "apt install g++', and start its server again"
    )


def test_a_device_that_runs_no_control_is_measured_all_the_same(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def control(*_: object) -> None:
        raise RuntimeError("Traceback …\nundefined symbol: sched_setaffinity")

    monkeypatch.setattr(check, "Control", control)
    found = asked(session)
    assert (found.control, found.readings) == ("undefined symbol: sched_setaffinity", ())
    assert (found.refusal, found.peaks) == ("", PEAKS)


def test_a_device_that_does_not_run_the_targets_code_is_refused(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: object) -> None:
        raise RuntimeError("the session has ended")

    monkeypatch.setattr(check.Probe, "measured", ended)
    found = asked(session)
    assert found.peaks is None
    assert found.refusal == "code for the target of device 'board' does not run there: the session has ended"


@pytest.mark.parametrize(("first", "sent"), [(0.01, [1 << 18, 1 << 24]), (1.0, [1 << 18])])
def test_much_is_sent_over_a_quick_connection_only(
    first: float, sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    clock = iter([0.0, first, 10.0, 12.0])
    monkeypatch.setattr(check, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    session = SimpleNamespace(upload=lambda data, name: sizes.append(len(data)), remove=lambda name: None)
    assert check._upload_rate(session) == pytest.approx(sent[-1] / (2.0 if len(sent) > 1 else first) / 1e6)
    assert sizes == sent


def test_no_more_than_a_quarter_of_the_free_memory_is_read(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    probe = check.Probe(session, tvm.target.Target(native_target()), 1)
    found = probe.measured(64 << 20)
    assert found.read_bytes == 16 << 20
    assert (found.gflop_s, found.gb_s) == (found.gflop_s_one_thread, found.gb_s_one_thread)
    assert found.gflop_s > 0
    assert found.gb_s > 0
