"""Stage → artifact: from the store or, by a worker, now; a device is leased to one measurement. What engines share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from explorer.core.artifact import Artifact, V
from explorer.core.errors import StageFailed
from explorer.core.statistics import Interval
from explorer.engines._devices import DeviceEngine, Surroundings
from explorer.line import contracts
from explorer.line.contracts.on_device import Address, OnDevice
from explorer.line.stage import A, P, Stage
from explorer.processes.cores import Cores

MEASURE_TIMEOUT = 900  # seconds until a silent device's measurement is given up
RECONNECT_SECONDS = 60  # that a device which is gone is waited for
BUILDS_ON_DEVICE = ("tune",)  # stages that compute here while they measure there
ALONE = "torch on all cores"  # the kind of worker that trains for long
LONG_TRAINING = 1 << 26  # pixels of all epochs: from about a minute of the fastest networks on two cores
CUT_OFF = ("crash", "timeout", "stopped")  # kinds of failures after which an execution may go on where it was


class StageEngine(DeviceEngine):
    """Runs stages; see `DeviceEngine` for the parameters."""

    def __init__(self, given: Surroundings, cores: Cores) -> None:
        super().__init__(given, cores)
        self._failures: dict[str, StageFailed] = {}

    def look(self, stage: Stage[P, A, V]) -> Artifact[V] | None:
        """Return the stage's artifact if it is in the store."""
        return self._find(stage, stage.key)

    def known(self, stage: contracts.measure.Stage, device: str) -> Interval | None:
        """Return what is on record of a measurement on `device`, in ms."""
        found = self._records.latency(stage.key, device)
        return found and found[0]

    def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
        """Return the stage's artifact, from the store or by executing it in a worker.

        Parameters
        ----------
        equivalent
            Gives, if the stage is to be executed, its parents with those added that enter no key.

        Raises
        ------
        StageFailed
            If the execution failed, now or earlier in this study: what fails once is not tried again for the next
            configuration that shares it.
        """
        key = stage.key
        if artifact := self._find(stage, key):
            return artifact
        with self._store.locked(key, self._cores.stopping):
            if artifact := self._find(stage, key):
                return artifact
            if key in self._failures:
                raise self._failures[key]
            if damage := self._store.damage(stage.name, key):
                self._observer.note(f"corrupt artifact, rebuilding it: {damage}")
            # Before the cores are taken: whoever builds these may have to wait for a measurement that wants the cores.
            whole: Stage = replace(stage, parents=equivalent()) if equivalent else stage
            cores = self._cores.alone() if _trains_long(stage) else self._cores.computing()
            with self._store.draft() as draft, cores:
                values, seconds = self._execute(whole, key, draft, None)
                if note := values.get("note"):
                    self._observer.note(note)
                return self._publish(stage, key, draft, values, seconds)

    def _find(self, stage: Stage[P, A, V], key: str) -> Artifact[V] | None:
        # Verifying digests is a computation, too. It must not be held while waiting for a key: whoever builds that key
        # may itself be waiting for a measurement to end.
        with self._cores.computing():
            return self._store.find(stage.name, key)

    def measure(self, stage: contracts.measure.Stage, device: str) -> Interval:
        """Return median and 95 % interval of the latency in ms, from the records or by measuring under a lease.

        Raises
        ------
        StageFailed
            If the device or the network failed.
        """
        key = stage.key
        with self._leased(device):
            if known := self._records.latency(key, device):
                return known[0]
            with self._store.draft() as draft:
                values, seconds = self._execute_on(device, stage, key, draft)
            samples = values.pop("samples_ms")
            self._records.add_measurement(key, device, samples, {**values, "parameters": self._located(stage, device)})
            self._records.add_execution(stage.name, key, seconds)
        known = self._records.latency(key, device)
        assert known is not None
        return known[0]

    def select(self, stage: contracts.select.Stage, device: str) -> Artifact[contracts.select.Values]:
        """Return the artifact of a stage that chooses among candidates, from the store or by measuring under a lease.

        What was measured of a layer's candidates once is neither built nor measured again for another network or study.

        Raises
        ------
        StageFailed
            If the device or the stage failed.
        """
        key = stage.key
        if artifact := self._find(stage, key):
            return artifact
        built = self._candidates(stage, device)
        with self._store.locked(key, self._cores.stopping), self._leased(device), self._store.draft() as draft:
            if artifact := self._find(stage, key):
                return artifact
            if key in self._failures:
                raise self._failures[key]
            keys = _observations(stage)
            known = [self._costs(own, device) for own in keys]
            parents = replace(stage.parents, candidates=built)
            informed = contracts.select.Stage(replace(stage.parameters, known=known), parents)
            if all(known):
                with self._cores.computing():
                    values, seconds = self._execute(informed, key, draft, None)
            else:
                values, seconds = self._execute_on(device, informed, key, draft)
            samples = values.pop("samples")
            details = {**values, "parameters": self._located(stage, device)}
            for own, new in zip(keys, samples, strict=True):
                for name, times in new.items():
                    self._records.add_measurement(own[name], device, times, details)
            values |= {"problems": len(keys), "measured": sum(map(bool, samples))}
            return self._publish(stage, key, draft, values, seconds)

    def tune(self, stage: contracts.tune.Stage, device: str) -> Artifact[contracts.tune.Values]:
        """Return the artifact of a stage that builds candidates and measures them on a leased device.

        Whatever it measures is on record at once, in a folder of the store that every study of the workspace shares.

        Raises
        ------
        StageFailed
            If the device or the stage failed.
        """
        key = stage.key
        if artifact := self._find(stage, key):
            return artifact
        with self._store.locked(key, self._cores.stopping), self._leased(device), self._store.draft() as draft:
            if artifact := self._find(stage, key):
                return artifact
            if key in self._failures:
                raise self._failures[key]
            own = stage.parameters
            database = self._store.shared("tuning", contracts.tune.database_key(own.target, own.threads, own.device))
            # A loopback server does not come back by itself: it is started again when the stage gives up.
            reconnect = 0 if device in self._servers else RECONNECT_SECONDS
            located = replace(own, database=str(database), reconnect=reconnect)
            informed = contracts.tune.Stage(located, stage.parents)
            values, seconds = self._execute_on(device, informed, key, draft, lambda: _bytes(database))
            return self._publish(stage, key, draft, values, seconds)

    def _publish(
        self, stage: Stage[P, A, V], key: str, draft: Path, values: Mapping[str, Any], seconds: float
    ) -> Artifact[V]:
        """Publish an artifact and then count its execution: killed in between, one is not counted rather than lost."""
        artifact = self._store.publish(stage.name, key, draft, values, seconds)
        self._records.add_execution(stage.name, key, seconds)
        return artifact

    def _candidates(self, stage: contracts.select.Stage, device: str) -> Artifact[contracts.candidates.Values] | None:
        """Return the built candidates that a select stage has to measure on `device`, or None if there are none."""
        problems = stage.parents.plan.values["problems"]
        both = zip(problems, _observations(stage), strict=True)
        missing = [own["problem"] for own, keys in both if not self._costs(keys, device)]
        if not missing:
            return None
        parameters = contracts.candidates.Parameters(missing, stage.parameters.target)
        return self.run(contracts.candidates.Stage(parameters, contracts.candidates.Parents()))

    def _costs(self, keys: Mapping[str, str], device: str) -> dict[str, float]:
        """Return candidate → milliseconds on `device` if all of them are on record, nothing otherwise."""
        found = {name: self._records.latency(key, device) for name, key in keys.items()}
        return {name: known[0].value for name, known in found.items() if known} if all(found.values()) else {}

    def _located(self, stage: Stage[OnDevice], device: str) -> dict[str, object]:
        """Return the stage's parameters, as its key has them, and the device's address."""
        return {**stage.parameters.keyed(), **self._address_of(device).model_dump()}

    def _address_of(self, device: str) -> Address:
        return Address(tracker=self._devices[device].tracker, key=self._devices[device].key)

    def _execute_on(
        self, device: str, stage: Stage[OnDevice], key: str, draft: Path, done: Callable[[], int] = lambda: 0
    ) -> tuple[dict[str, Any], float]:
        """Execute on a leased device; a loopback device whose server is gone is started again.

        That is done once, and again whenever `done`, which says how much is on record, has grown since.
        """
        before = -1
        while True:
            try:
                return self._execute_quietly(device, stage, key, draft)
            except StageFailed as failed:
                gone = failed.failure.kind == "device" and device in self._servers
                if not gone or done() <= before:
                    raise
                before = done()
            self._observer.note(f"the server of device '{device}' is gone; starting it again")
            self._serve(self._devices[device])

    def _execute_quietly(
        self, device: str, stage: Stage[OnDevice], key: str, draft: Path
    ) -> tuple[dict[str, Any], float]:
        """Execute on a device, with this machine's cores to itself if it is one of them."""
        located = replace(stage, parameters=replace(stage.parameters, address=self._address_of(device)))
        # What is built for another machine's device, in the same stage, must not disturb a measurement on this one.
        elsewhere = self._cores.computing() if stage.name in BUILDS_ON_DEVICE else contextlib.nullcontext()
        with self._cores.alone() if self._devices[device].is_here else elsewhere:
            return self._execute(located, key, draft, MEASURE_TIMEOUT, device)

    def _execute(
        self, stage: Stage, key: str, draft: Path, timeout: float | None, device: str = ""
    ) -> tuple[dict[str, Any], float]:
        request = {**stage.as_json(), "out": str(draft), "scratch": str(self._store.scratch(key))}
        start = time.perf_counter()
        kind = ALONE if _trains_long(stage) else stage.worker
        with self._working(kind, stage.name, device) as worker:
            try:
                values = worker.request(request, timeout, partial(self._hear, worker.name))
            except StageFailed as failed:
                if failed.failure.kind not in CUT_OFF:
                    self._store.forget(key)
                self._failures[key] = failed
                self._records.add_execution(stage.name, key, time.perf_counter() - start, failed.failure)
                raise
        return values, time.perf_counter() - start

    def _hear(self, worker: str, word: Mapping[str, Any]) -> None:
        if "progress" in word:
            self._observer.advanced(worker, **word["progress"])
        else:
            self._observer.note(word["note"])


def _observations(stage: contracts.select.Stage) -> list[dict[str, str]]:
    """Return for every problem of a select stage the key under which each candidate's latency is on record."""
    planned = stage.parents.plan.values
    shared = stage.parameters.target, stage.parameters.threads, planned["evicted_bytes"]
    return [
        {name: contracts.candidates.latency_key(own["problem"], name, *shared) for name in own["candidates"]}
        for own in planned["problems"]
    ]


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.jsonl"))


def _trains_long(stage: Stage) -> bool:
    """Tell whether a stage trains for so long that it is worth to keep all else from the cores meanwhile.

    Nothing but what its key has decides: sums, and so weights, depend on the number of threads.
    """
    return stage.trained_pixels >= LONG_TRAINING
