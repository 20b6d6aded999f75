"""Stage that measures on a device → its artifact: from the store or, while the device is leased to it, by a worker."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from explorer.core.artifact import Artifact, V
from explorer.core.errors import Failure, StageFailed
from explorer.engines import candidates
from explorer.engines.artifacts import Artifacts
from explorer.engines.context import EngineContext
from explorer.engines.devices import Devices
from explorer.engines.executor import Executed, Executor
from explorer.engines.measuring import Measuring
from explorer.engines.workers import Workers
from explorer.line import contracts
from explorer.line.contracts.on_device import Address, OnDevice
from explorer.line.stage import A, P, Stage

MEASURE_TIMEOUT = 900  # seconds until a silent device's measurement is given up
RECONNECT_SECONDS = 60  # that a device which is gone is waited for
BUILDS_ON_DEVICE = ("tune",)  # stages that compute here while they measure there

Control = Artifact[contracts.control.Values]
Publish = Callable[[Path, Executed], Artifact[V]]  # the folder with a stage's files, and its values → its artifact
T = TypeVar("T")


class Leasing:
    """Executes the stages that occupy a device, one at a time on each.

    Parameters
    ----------
    stopping
        Set when the engine stops, so that nothing waits for a key any more.
    """

    def __init__(
        self,
        context: EngineContext,
        workers: Workers,
        executor: Executor,
        devices: Devices,
        artifacts: Artifacts,
        measuring: Measuring,
        stopping: threading.Event,
    ) -> None:
        self._store, self._records = context.store, context.records
        self._cores, self._executor, self._devices = workers.cores, executor, devices
        self._artifacts, self._measuring, self._stopping = artifacts, measuring, stopping
        self._gone = set[str]()  # devices that did not answer in any attempt of the last stage

    def select(
        self,
        stage: contracts.select.Stage,
        device: str,
        built: Artifact[contracts.candidates.Values] | None,
    ) -> Artifact[contracts.select.Values]:
        """Return the artifact of a stage that measures the candidates in `built`; see `Engine.select`."""

        def execute(publish: Publish[contracts.select.Values]) -> Artifact[contracts.select.Values]:
            known = candidates.known(stage, device, self._records)
            parents = replace(stage.parents, candidates=built)
            informed = contracts.select.Stage(replace(stage.parameters, known=known), parents)

            def finish(draft: Path, done: Executed) -> Artifact[contracts.select.Values]:
                samples = done.values.pop("samples")
                details = {**done.values, "parameters": self.located(stage, device)}
                candidates.record(stage, device, self._records, samples, details)
                done.values.update(problems=len(known), measured=sum(map(bool, samples)))
                return publish(draft, done)

            return self._attempted(device, informed, stage.key, finish, occupies=not all(known))

        return self._leased(device, stage, execute)

    def tune(self, stage: contracts.tune.Stage, device: str) -> Artifact[contracts.tune.Values]:
        """Return the artifact of a stage that builds candidates and measures them; see `Engine.tune`."""
        own = stage.parameters
        database = self._store.shared(
            "tuning", contracts.tune.database_key(own.target, own.threads, own.device, own.identity)
        )
        # A loopback server does not come back by itself: it is started again when the stage gives up.
        reconnect = 0 if self._devices.is_served(device) else RECONNECT_SECONDS
        located = replace(own, database=str(database), reconnect=reconnect)
        informed = contracts.tune.Stage(located, stage.parents)

        def execute(publish: Publish[contracts.tune.Values]) -> Artifact[contracts.tune.Values]:
            return self._attempted(device, informed, stage.key, publish, lambda: _bytes(database))

        return self._leased(device, stage, execute)

    def confirm(
        self, stage: contracts.confirm.Stage, device: str, control: Control | None
    ) -> Artifact[contracts.confirm.Values]:
        """Return the artifact of a stage that compares two libraries; see `Engine.confirm`."""
        informed = self._measuring.comparing(stage, device, control)
        return self._leased(device, stage, lambda publish: self._in_sessions(device, informed, stage.key, publish))

    def profile(
        self, stage: contracts.profile.Stage, device: str, control: Control | None
    ) -> Artifact[contracts.profile.Values]:
        """Return the artifact of a stage that times each program of a network; see `Engine.profile`."""
        informed = self._measuring.comparing(stage, device, control)
        return self._leased(device, stage, lambda publish: self._in_sessions(device, informed, stage.key, publish))

    def session(self, device: str, stage: Stage[OnDevice], key: str) -> Executed:
        """Execute on a leased device a stage that has no artifact."""
        return self._attempted(device, stage, key, lambda draft, done: done)

    def _in_sessions(self, device: str, stage: Stage[OnDevice], key: str, publish: Publish[V]) -> Artifact[V]:
        """Execute a stage that takes several sessions, and remember if the device has no control."""

        def finish(draft: Path, done: Executed) -> Artifact[V]:
            if why := done.values["no_control"]:
                self._measuring.without_control(device, why)
            return publish(draft, done)

        return self._attempted(device, stage, key, finish)

    def _attempted(
        self,
        device: str,
        stage: Stage[OnDevice],
        key: str,
        finish: Callable[[Path, Executed], T],
        progress: Callable[[], int] = lambda: 0,
        occupies: bool = True,
    ) -> T:
        """Execute on a leased device; return what `finish` makes of the stage's files and values.

        A loopback device whose server is gone is started again. Any other that is gone may come back, and each stage
        looks whether it has; but only the first one waits for that. See `Executor.attempted`.

        Parameters
        ----------
        occupies
            Whether the device is measured on; the stage only computes here otherwise.
        """

        def attempt() -> T:
            with self._store.draft() as draft:
                if occupies:
                    return finish(draft, self._execute_quietly(device, stage, key, draft))
                with self._cores.computing():
                    done = self._executor.execute(stage, key, draft)
                return finish(draft, done)

        def recover(failure: Failure) -> None:
            if failure.kind == "device" and self._devices.is_served(device):
                self._devices.serve_again(device)

        try:
            result = self._executor.attempted(stage.name, key, attempt, recover, progress, device in self._gone)
        except StageFailed as failed:
            if failed.failure.kind == "device" and not self._devices.is_served(device):
                self._gone.add(device)
            raise
        self._gone.discard(device)
        return result

    def located(self, stage: Stage[OnDevice], device: str) -> dict[str, object]:
        """Return the stage's parameters, as its key has them, the device's address, and whether it is emulated."""
        emulated = {"emulated": True} if self._devices[device].emulated else {}
        return {**stage.parameters.keyed(), **self._address_of(device).model_dump(), **emulated}

    def _leased(self, device: str, stage: Stage[P, A, V], execute: Callable[[Publish[V]], Artifact[V]]) -> Artifact[V]:
        """Return the stage's artifact, from the store or made by `execute` while `device` is leased."""
        key = stage.key
        with self._store.locked(key, self._stopping), self._devices.leased(device):
            if artifact := self._artifacts.sound(stage, key):
                return artifact
            self._executor.refuse_what_failed(key)
            return execute(lambda draft, done: self._artifacts.publish(stage, key, draft, done))

    def _execute_quietly(self, device: str, stage: Stage[OnDevice], key: str, draft: Path) -> Executed:
        """Execute on a device, with this machine's cores to itself if it is one of them."""
        located = replace(stage, parameters=replace(stage.parameters, address=self._address_of(device)))
        # Candidates for another machine's device, built in the same stage, must not disturb a measurement on this one.
        elsewhere = self._cores.computing() if stage.name in BUILDS_ON_DEVICE else contextlib.nullcontext()
        with self._cores.alone() if self._devices[device].is_here else elsewhere:
            return self._executor.execute(located, key, draft, MEASURE_TIMEOUT, self._devices[device])

    def _address_of(self, device: str) -> Address:
        return Address(tracker=self._devices[device].address, key=self._devices[device].key)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.jsonl"))
