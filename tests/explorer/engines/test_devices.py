"""Devices: asked for their targets at the start, served where they are loopback devices, and taken down at the end."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from explorer.core.errors import DeviceError, Failure, StageFailed
from explorer.engines.devices import Devices
from explorer.engines.executor import Executor
from explorer.space.devices import LOCAL, Device
from tests.scripted_workers import BOARD, NATIVE, ScriptedWorkers, context_of
from tests.studies import Events


def devices_of(
    root: Path, workers: ScriptedWorkers, *devices: Device, threads: int = 1, events: list[Events] | None = None
) -> Devices:
    context = context_of(root, {device.name: device for device in devices}, threads)
    if events is not None:
        assert isinstance(context.observer, Events)
        events.append(context.observer)
    return Devices(context, workers, Executor(context, workers, threading.Event()))


def test_every_device_says_what_it_is_before_anything_is_computed(tmp_path: Path) -> None:
    workers, events = ScriptedWorkers(), list[Events]()
    devices = devices_of(tmp_path, workers, LOCAL, BOARD, threads=2, events=events)
    with devices.reached():
        assert devices.target("local") == devices.target("board") == NATIVE
        assert devices.lanes("board") == 8
        assert (devices.is_served("local"), devices.is_served("board")) == (True, False)
        assert devices["local"].tracker == "127.0.0.1:1"
        assert devices["board"] == BOARD
        assert devices["local"].is_here
        assert workers.running == 1
    assert workers.running == 0
    assert events[0].stages == ["reach local", "reach board"]
    assert workers.requests[1]["arguments"] == {
        "tracker": BOARD.tracker, "key": "board", "target": "native", "threads": 2, "device": "board",
        "asked": {},
    }  # fmt: skip


def test_of_a_gpu_one_thread_is_asked(tmp_path: Path) -> None:
    workers = ScriptedWorkers()
    gpu = Device(name="gpu", key="gpu", target={"kind": "opencl", "device": "pocl"})
    with devices_of(tmp_path, workers, gpu, threads=3).reached():
        (asked,) = (request["arguments"] for request in workers.requests)
        assert isinstance(asked, dict)
        assert asked["threads"] == 1


def test_a_device_that_does_not_answer_is_an_error_and_what_was_served_is_taken_down(tmp_path: Path) -> None:
    workers = ScriptedWorkers()
    describe = "explorer.line.probing.describe:describe"
    workers.answers[describe] = [workers.answers[describe], StageFailed(Failure(describe, "device", "it is gone"))]
    with pytest.raises(DeviceError, match="it is gone"), devices_of(tmp_path, workers, LOCAL, BOARD).reached():
        pass
    assert len(workers.served) == 1
    assert workers.running == 0


def test_more_threads_than_a_served_device_has_cores_are_refused(tmp_path: Path) -> None:
    workers = ScriptedWorkers()
    message = "the search space asks for 3 threads and device 'local' has 2 cores; allowed: at most 2"
    with (
        pytest.raises(DeviceError, match=f"^{message}$"),
        devices_of(tmp_path, workers, LOCAL, threads=3).reached(),
    ):
        pass
    assert workers.running == 0


def test_a_server_is_started_again_in_place_of_the_one_that_is_gone(tmp_path: Path) -> None:
    workers, events = ScriptedWorkers(), list[Events]()
    devices = devices_of(tmp_path, workers, LOCAL, events=events)
    with devices.reached():
        devices.serve_again("local")
        assert devices["local"].tracker == "127.0.0.1:2"
        assert workers.running == 1
    assert workers.running == 0
    assert events[0].notes == ["the server of device 'local' is gone; starting it again"]


def test_a_device_is_leased_to_one_thread_at_a_time(tmp_path: Path) -> None:
    devices = devices_of(tmp_path, ScriptedWorkers(), LOCAL, BOARD)
    with devices.leased("local"), devices.leased("board"):
        lease = devices.leased("local")
        assert lease is devices.leased("local")
        assert lease.locked()
    assert not lease.locked()
