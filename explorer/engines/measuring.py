"""A stage of sessions → the facts of the device that it is told; a session of ``measure`` → its samples on record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

from explorer.core.artifact import Artifact
from explorer.core.measurement.sessions import Readings, Session
from explorer.core.measurement.statistics import quantile
from explorer.engines.context import EngineContext
from explorer.engines.devices import Devices
from explorer.line import contracts
from explorer.processes import temporary

# Stages that sample two libraries of a network in turns.
InTurns = TypeVar("InTurns", contracts.confirm.Stage, contracts.profile.Stage)

COMPARISON_PATIENCE = 2.0  # seconds for which a session that compares two libraries waits for a quiet device


class Measuring:
    """The sessions of an engine on its devices."""

    def __init__(self, context: EngineContext, devices: Devices) -> None:
        self._store, self._records, self._observer = context.store, context.records, context.observer
        self._devices = devices
        self._uncontrolled: set[str] = set()  # devices that run no control
        self._linked = Path()  # folder of shared libraries, for devices that read this machine's files

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Keep linked libraries until the context ends: each is as large as its artifact."""
        with self._store.draft() as self._linked:
            yield

    def informed(
        self,
        stage: contracts.measure.Stage,
        device: str,
        control: Artifact[contracts.control.Values] | None,
        patience: float,
    ) -> contracts.measure.Stage:
        """Return the stage with all that its next session needs and that enters no key.

        Parameters
        ----------
        patience
            Seconds for which to wait until the device is quiet.
        """
        parameters = replace(
            stage.parameters,
            compares=not self._records.sessions.of(stage.key, device),
            patience=patience,
            **self._facts(device, stage.parameters.threads),
        )
        return contracts.measure.Stage(parameters, replace(stage.parents, control=control))

    def comparing(self, stage: InTurns, device: str, control: Artifact[contracts.control.Values] | None) -> InTurns:
        """Return a stage that samples two libraries in turns likewise."""
        facts = self._facts(device, stage.parameters.threads)
        parameters = replace(stage.parameters, patience=COMPARISON_PATIENCE, **facts)
        return type(stage)(parameters, replace(stage.parents, control=control))

    def record(self, stage: contracts.measure.Stage, device: str, values: Mapping[str, Any]) -> None:
        """Put a session on record: `values` are what the stage returned, and where."""
        details = dict(values)
        samples = details.pop("samples_ms")
        del details["typical"]
        if details["no_control"]:
            self.without_control(device, details["no_control"])
        session = session_of(values, self._devices[device].emulated)
        threads, identity = stage.parameters.threads, self._devices.identity(device).key
        self._records.measurements.add_session(stage.key, device, threads, session, samples, details, identity)

    def controls(self, device: str) -> bool:
        """Tell whether a device runs the control, as far as is known."""
        return device not in self._uncontrolled

    def without_control(self, device: str, why: str) -> None:
        """Remember that a device does not run the control, and tell the user once."""
        if self.controls(device):
            self._uncontrolled.add(device)
            self._observer.note(f"device '{device}' runs no control, so that a disturbed session counts: {why}")

    def _facts(self, device: str, threads: int) -> dict[str, Any]:
        """Return the parameters of any session on a device that tell of it."""
        served, own = self._devices.is_served(device), self._devices[device]
        return {
            "usual": tuple(self._records.sessions.usual(device, threads, self._devices.identity(device).key)),
            "linked": str(self._linked) if served and temporary.loads(self._linked) else "",
            "cores": (own.cores or ()) if served and not own.is_gpu else (),
        }


def session_of(values: Mapping[str, Any], emulated: bool) -> Session:
    """Return in short the session that stage ``measure`` returned `values` of, on a device that may be emulated."""
    samples = values["samples_ms"]
    counting = values["quiet"] or range(len(samples))
    runs = [run for index in counting for run in values["runs_ms"][index]]
    beside = {
        "latency_p90_ms": quantile(runs, 0.9),
        "latency_p99_ms": quantile(runs, 0.99),
        "first_ms": values["first_ms"],
        "load_ms": values["load_ms"],
    }
    latency = median(samples[index] for index in counting)
    return Session(latency, Readings(*values["typical"]), beside, values["server_peak_bytes"], emulated)
