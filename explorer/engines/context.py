"""The store, records, devices and observer that an engine works with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from explorer.inputs.external import ExternalInputs
from explorer.space.devices import Device
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store


class Observer(Protocol):
    """Hears when workers begin and end a stage, and how far they are in it."""

    def started(self, worker: str, stage: str) -> None:
        """`worker` begins to execute `stage`."""

    def finished(self, worker: str) -> None:
        """`worker` is free again."""

    def advanced(self, worker: str, done: int, total: int, text: str) -> None:
        """`worker` has `done` of `total` steps of its stage behind it; `text` says so in the stage's words."""

    def note(self, message: str) -> None:
        """Something the user should know."""


@dataclass(frozen=True)
class EngineContext:
    """Everything that an engine works with, but its workers.

    Parameters
    ----------
    logs
        Folder of the workers' logs.
    external
        The artifacts that no stage makes.
    devices
        The devices that the study measures on, by name.
    threads
        The most threads that the study asks of each device.
    narrow
        Device → each dtype but float32 that the study asks of it → the compressions that end in that.
    jobs
        How many trainings, and how many compilations beside them, are executed at once; None leaves that to the engine.
    """

    store: Store
    records: Records
    logs: Path
    external: ExternalInputs
    devices: Mapping[str, Device]
    threads: int
    observer: Observer
    jobs: int | None = None
    narrow: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
