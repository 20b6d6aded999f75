"""Stage → artifact: from the store or, by a worker, now; a device is leased to one measurement at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Self

from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.errors import StageFailed
from explorer.core.measurement.sessions import Estimate
from explorer.engines import candidates
from explorer.engines.artifacts import Artifacts
from explorer.engines.context import EngineContext
from explorer.engines.devices import PROBE_TIMEOUT, Devices
from explorer.engines.executor import Executor
from explorer.engines.leasing import Leasing
from explorer.engines.measuring import Measuring
from explorer.engines.workers import ALONE, TVM, Workers
from explorer.line import contracts
from explorer.line.stage import A, P, Stage, Target


class Engine:
    """Runs stages in the workers that it is given; a context manager that brings devices and workers up and down.

    Parameters
    ----------
    workers
        Of this machine or of a cluster.
    """

    def __init__(self, context: EngineContext, workers: Workers) -> None:
        self._store, self._records, self._observer = context.store, context.records, context.observer
        self._external, self._workers = context.external, workers
        self._stopping = threading.Event()
        self._executor = Executor(context, workers, self._stopping)
        self._devices = Devices(context, workers, self._executor)
        self._measuring = Measuring(context, self._devices)
        self._artifacts = Artifacts(context, workers)
        self._leasing = Leasing(
            context, workers, self._executor, self._devices, self._artifacts, self._measuring, self._stopping
        )
        self._host: Target = {}
        self._exit = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Bring the workers up and ask each device for its target, before anything else is done.

        Raises
        ------
        DeviceError
            If a device cannot be reached.
        """
        with contextlib.ExitStack() as up:  # taken down again if one device fails
            up.enter_context(self._workers.start())
            up.enter_context(self._devices.reached())
            up.enter_context(self._measuring.ready())
            with self._workers.worker(TVM) as worker:
                native = {"call": "dlas_ops.processor.targets:native_target", "arguments": {}}
                self._host = worker.request(native, PROBE_TIMEOUT)
            self._exit = up.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.close()

    def stop(self) -> None:
        """End all workers; a thread that waits for one sees it die."""
        self._stopping.set()
        self._workers.stop()

    @property
    def concurrency(self) -> int:
        """How many trials are worth being under way at once."""
        return self._workers.concurrency

    @property
    def sizes(self) -> Mapping[str, int]:
        """Kind of worker → how many stages of that kind are executed at once."""
        return self._workers.sizes

    def computing(self) -> AbstractContextManager[None]:
        """Hold this machine's cores together with other computations, never beside a measurement on them."""
        return self._workers.cores.computing()

    def outside(self, c: Configuration) -> Mapping[str, Mapping[str, Artifact]]:
        """Return for each stage its parents that no stage makes; see `explorer.inputs.external`."""
        return self._external.parents(c)

    def target(self, device: str) -> Target:
        """Return the TVM target that `device` compiles for."""
        return self._devices.target(device)

    def lanes(self, device: str) -> int:
        """Return how many float32 a vector register of `device` holds."""
        return self._devices.lanes(device)

    def identity(self, device: str) -> str:
        """Return the key of what `device` says that it is."""
        return self._devices.identity(device).key

    @property
    def host(self) -> Target:
        """The TVM target of this machine, whose workers run the stages."""
        return self._host

    def look(self, stage: Stage[P, A, V]) -> Artifact[V] | None:
        """Return the stage's artifact if it is in the store."""
        return self._artifacts.find(stage, stage.key)

    def known(self, stage: contracts.measure.Stage, device: str) -> Estimate | None:
        """Return the latency that is on record of a measurement on `device`."""
        return self._records.sessions.latency(stage.key, device)

    def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
        """Return the stage's artifact, from the store or by executing it in a worker.

        Parameters
        ----------
        equivalent
            Gives, if the stage is to be executed, its parents with those added that enter no key.

        Raises
        ------
        StageFailed
            If the execution failed, now or earlier in this run: a failed execution is not repeated for the next
            configuration that shares it.
        """
        key = stage.key
        if artifact := self._artifacts.find(stage, key):
            return artifact
        with self._store.locked(key, self._stopping):
            if artifact := self._artifacts.sound(stage, key):
                return artifact
            self._executor.refuse_what_failed(key)
            # Before the cores are taken: to build these may mean to wait for a measurement that wants the cores.
            whole: Stage = replace(stage, parents=equivalent()) if equivalent else stage
            return self._executor.attempted(stage.name, key, lambda: self._executed(stage, whole, key))

    def _executed(self, stage: Stage[P, A, V], whole: Stage, key: str) -> Artifact[V]:
        """Execute a stage, which is `whole` with the parents that enter no key, and publish its artifact."""
        alone = self._executor.kind(stage) == ALONE
        cores = self._workers.cores.alone() if alone else self._workers.cores.computing()
        with self._store.draft() as draft, cores:
            done = self._executor.execute(whole, key, draft)
            if note := done.values.get("note"):
                self._observer.note(note)
            return self._artifacts.publish(stage, key, draft, done)

    def measure(self, stage: contracts.measure.Stage, device: str) -> Estimate:
        """Return the latency, from the records or by a first session under a lease.

        Raises
        ------
        StageFailed
            If the device or the network failed.
        """
        with self._devices.leased(device):
            if known := self.known(stage, device):
                return known
            self._executor.refuse_what_failed(stage.key)
            return self._session(stage, device)

    def measure_again(self, stage: contracts.measure.Stage, device: str, patience: float = 0.0) -> Estimate:
        """Add a session under a lease; return the latency that all sessions tell. See `measure` for errors.

        Parameters
        ----------
        patience
            Seconds for which to wait until the device is quiet.
        """
        with self._devices.leased(device):
            return self._session(stage, device, patience)

    def _session(self, stage: contracts.measure.Stage, device: str, patience: float = 0.0) -> Estimate:
        """Measure in a session of its own, and put it on record."""
        informed = self._measuring.informed(stage, device, self._control(device), patience)
        values, seconds = self._leasing.session(device, informed, stage.key)
        self._measuring.record(stage, device, {**values, "parameters": self._leasing.located(stage, device)})
        self._records.executions.add(stage.name, stage.key, seconds)
        known = self.known(stage, device)
        assert known is not None
        return known

    def _control(self, device: str) -> Artifact[contracts.control.Values] | None:
        """Return the programs that tell how fast a device is at the moment; None where there are none."""
        if not self._measuring.controls(device):
            return None
        parameters = contracts.control.Parameters(dict(self.target(device)))
        try:
            return self.run(contracts.control.Stage(parameters, contracts.control.Parents()))
        except StageFailed as failed:
            self._measuring.without_control(device, failed.failure.message)
            return None

    def select(self, stage: contracts.select.Stage, device: str) -> Artifact[contracts.select.Values]:
        """Return the artifact of a stage that chooses among candidates, from the store or by measuring under a lease.

        Candidates of a layer that were measured once are neither built nor measured again for another network or study.

        Raises
        ------
        StageFailed
            If the device or the stage failed.
        """
        if artifact := self.look(stage):
            return artifact
        building = candidates.missing(stage, device, self._records)
        return self._leasing.select(stage, device, self.run(building) if building else None)

    def tune(self, stage: contracts.tune.Stage, device: str) -> Artifact[contracts.tune.Values]:
        """Return the artifact of a stage that builds candidates and measures them on a leased device.

        Each measurement is on record at once, in a folder of the store that every study of the workspace shares.

        Raises
        ------
        StageFailed
            If the device or the stage failed.
        """
        return self.look(stage) or self._leasing.tune(stage, device)

    def confirm(self, stage: contracts.confirm.Stage, device: str) -> Artifact[contracts.confirm.Values]:
        """Return the artifact of a stage that compares two libraries on a leased device.

        Raises
        ------
        StageFailed
            If the device or the stage failed.
        """
        return self.look(stage) or self._leasing.confirm(stage, device, self._control(device))

    def profile(self, stage: contracts.profile.Stage, device: str) -> Artifact[contracts.profile.Values]:
        """Return the artifact of a stage that times each program of a network on a leased device.

        Raises
        ------
        StageFailed
            If the device or the stage failed.
        """
        return self.look(stage) or self._leasing.profile(stage, device, self._control(device))
