"""Folder of a bundle and a device → a verdict: the stages ``control`` and ``measure``, run on the bundle over RPC."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from explorer.bundles.manifest import PLACEMENT, Manifest, read
from explorer.bundles.samples import Samples
from explorer.bundles.verdict import Verdict
from explorer.core.artifact import Artifact
from explorer.core.errors import DeviceError, ExplorerError, StageFailed
from explorer.core.measurement.sessions import Readings, Session, latency
from explorer.core.measurement.statistics import Interval
from explorer.engines.leasing import MEASURE_TIMEOUT
from explorer.engines.measuring import session_of
from explorer.line import contracts
from explorer.line.contracts.on_device import Address
from explorer.line.stage import Stage
from explorer.processes import pool, reaching, temporary
from explorer.space.devices import LOCAL, Device

PATIENCE = 10.0  # seconds for which a session waits until the device is quiet
ANY = sys.float_info.max  # a tolerance: how far outputs lie off is judged here
WRONG = "wrong_output"
MISFIT = ("too_few_threads", "not_applicable")  # kinds of failures of a device that answers


def verify(folder: Path, device: Device | None, sessions: int) -> Verdict:
    """Run the bundle in `folder` on a device and return how its outputs and its latency compare with the manifest.

    Parameters
    ----------
    device
        An entry of a devices file; None for this machine, over a loopback server.
    sessions
        That the latency is taken in.

    Raises
    ------
    ExplorerError
        If the bundle is not what was written, or does not run on the device; DeviceError if that does not answer.
    """
    manifest = read(folder)
    own = device or LOCAL
    with (
        reaching.logs("dlas-verify-") as logs,
        reaching.reached(own, logs) as (tracker, cores),
        tempfile.TemporaryDirectory(dir=temporary.folder()) as work,
        pool.temporary("tvm", "verify", logs) as worker,
    ):
        asked = _Asked(manifest, folder, own, tracker, cores, Path(work), worker)
        try:
            asked.refuse_misfit()
            error, found = asked.sessions(sessions)
        except StageFailed as failed:
            raise _error(failed, folder, own.name, logs) from failed
    told = latency(found, asked.usual, {})
    assert told is not None, "there is a session"
    recorded = manifest.latency
    return Verdict(
        device=own.name,
        emulated=own.emulated,
        relative_error=error,
        tolerance=manifest.samples.tolerance,
        latency=told.interval,
        recorded=Interval(recorded.median_ms, recorded.low_ms, recorded.high_ms),
        sessions=told.sessions,
        disturbed=told.disturbed,
        load_ms=median(each.beside["load_ms"] for each in found),
        first_ms=median(each.beside["first_ms"] for each in found),
    )


def _error(failed: StageFailed, folder: Path, device: str, logs: Path) -> ExplorerError:
    """Return a failure on a device as an error in one sentence."""
    message = (failed.failure.message.strip().splitlines() or ["no reason given"])[-1]
    if failed.failure.kind == "device":
        return DeviceError(message.replace("the device went away", f"device '{device}' went away", 1))
    if failed.failure.kind in MISFIT:
        return ExplorerError(f"'{folder}' does not run on device '{device}': {message}")
    return DeviceError(
        f"device '{device}' stops answering, or does not run '{folder}': {message}; the logs are in {logs}"
    )


@dataclass(frozen=True)
class _Asked:
    """A bundle on a device that is reached at `tracker`, with a worker for TVM and a folder of its own to work in."""

    manifest: Manifest
    folder: Path
    device: Device
    tracker: str
    cores: tuple[int, ...]
    work: Path
    worker: pool.Worker

    @property
    def usual(self) -> Readings:
        """The control's readings on record, of the same device alone."""
        same = self.device.name == self.manifest.device.name
        return Readings(**self.manifest.latency.usual) if same else Readings()

    def refuse_misfit(self) -> None:
        """Raise ExplorerError if the device cannot run code for the bundle's target, or StageFailed if it is gone."""
        arguments = {
            "tracker": self.tracker,
            "key": self.device.key,
            "target": self.manifest.device.target,
            "device": self.device.name,
        }
        request = {"call": "explorer.bundles.fitting:misfit", "arguments": arguments}
        if why := self.worker.request(request, MEASURE_TIMEOUT):
            made_for = f"'{self.folder}' is made for device '{self.manifest.device.name}'"
            raise ExplorerError(f"{made_for} and does not fit: {why}; name a device that it fits with --device")

    def sessions(self, count: int) -> tuple[float | None, list[Session]]:
        """Return how far outputs lie off, None where they are no numbers, and `count` sessions of the latency."""
        control = self._control()
        wrong, error, found = False, None, []
        for index in range(count):
            compares = index == 0 and not wrong
            try:
                values = self._measured(control, compares)
            except StageFailed as failed:  # of outputs that are no numbers, which lie off by no number
                if failed.failure.kind != WRONG:
                    raise
                wrong, values = True, self._measured(control, compares=False)
            error = values["relative_error"] if compares and not wrong else error
            found.append(session_of(values, self.device.emulated))
        return error, found

    def _control(self) -> Artifact[contracts.control.Values]:
        parameters = contracts.control.Parameters(self.manifest.device.target)
        out = self._folder("control")
        self._execute(contracts.control.Stage(parameters, contracts.control.Parents()), out)
        return Artifact("control", "control", out)

    def _measured(self, control: Artifact[contracts.control.Values], compares: bool) -> Mapping[str, Any]:
        """Return the values of stage ``measure``, whose parents are made of the bundle."""
        manifest, own = self.manifest, self.manifest.latency
        parameters = contracts.measure.Parameters(
            manifest.device.threads,
            own.samples,
            own.sample_ms,
            own.warmup_ms,
            ANY,
            compares=compares,
            address=Address(tracker=self.tracker, key=self.device.key),
            usual=tuple(self.usual),
            patience=PATIENCE,
            linked=str(self._folder("linked")) if self.device.is_loopback else "",
            cores=() if manifest.on_gpu else self.cores,
        )
        network, lower = self._folder("network"), self._folder("lower")
        Samples.load(self.folder).reference(manifest).save(network)
        stack = {"algorithm": manifest.stack["algorithm"], "format": manifest.stack["format"], "dtype": manifest.dtype}
        placement = {**stack, "target": manifest.device.target, "batch": manifest.input.shape[0]}
        (lower / PLACEMENT).write_text(json.dumps(placement))
        parents = contracts.measure.Parents(
            Artifact("compress", "network", network),
            Artifact("lower", "lower", lower),
            Artifact("build", "bundle", self.folder.absolute()),
        )
        stage = contracts.measure.Stage(parameters, replace(parents, control=control))
        return self._execute(stage, self._folder("measure"))

    def _execute(self, stage: Stage, out: Path) -> dict[str, Any]:
        values: dict[str, Any] = self.worker.request({**stage.as_json(), "out": str(out)}, MEASURE_TIMEOUT)
        return values

    def _folder(self, name: str) -> Path:
        folder = self.work / name
        folder.mkdir(exist_ok=True)
        return folder
