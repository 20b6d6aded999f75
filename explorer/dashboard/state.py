"""A workspace → snapshots of its studies, read again only when there is something new on record."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from explorer import reading
from explorer.results import emulated
from explorer.results.figures import layout
from explorer.results.figures.fronts import with_standing
from explorer.results.progress import pace
from explorer.results.progress.status import failures
from explorer.results.progress.watch import Watch

if TYPE_CHECKING:
    import pandas as pd

    from explorer.results.open_study import OpenStudy
    from explorer.workspace.database.history import Version

# A share of the time that reading may take at most: a study with many trials is looked at less often.
READING_SHARE = 0.1


@dataclass(frozen=True)
class Snapshot:
    """A study as it was on record at one moment.

    Parameters
    ----------
    version
        That of its records; equal ones mean equal snapshots.
    opened
        The study, whose properties are about that moment.
    """

    version: Version
    opened: OpenStudy

    @property
    def name(self) -> str:
        """The study's name."""
        return self.opened.name

    @cached_property
    def measured(self) -> pd.DataFrame:
        """The complete trials, with the columns ``standing`` and ``front_probability`` of the figures' fronts."""
        frame = self.opened.frame
        complete = frame[frame["state"] == "complete"]
        return with_standing(complete, self.opened.limits) if len(complete) else complete

    @cached_property
    def devices(self) -> Sequence[str]:
        """The names of the devices that trials have run on."""
        return sorted(self.opened.frame["device"].unique())

    @cached_property
    def emulated(self) -> frozenset[str]:
        """Those of them that are emulated."""
        return emulated.emulated_devices(self.opened.frame)

    @cached_property
    def styles(self) -> Mapping[str, Mapping[str, str]]:
        """Compression → colour and algorithm → shape, the same on all devices and in the study's page of fronts."""
        return layout.styles(self.measured)

    @cached_property
    def failures(self) -> pd.DataFrame:
        """One row per stage and kind of failure."""
        return failures(self.opened.frame)

    @cached_property
    def pace(self) -> pace.Pace:
        """How far the study is."""
        return pace.pace_of(self.opened.records, self.name, self.opened.wanted)

    def on(self, device: str | None) -> pd.DataFrame:
        """Return the complete trials on `device`."""
        return self.measured[self.measured["device"] == device] if len(self.measured) else self.measured


class Studies:
    """The studies of one workspace; its methods may be called by several threads.

    Parameters
    ----------
    root
        The workspace's folder.

    Raises
    ------
    WorkspaceError
        If there is no study in the folder, or its database does not answer.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._watch = Watch(root)
        self._lock = threading.Lock()
        self._known: dict[str, Snapshot] = {}
        self._next_reading = 0.0

    def names(self) -> list[str]:
        """Return the names of the studies with a finished trial, the one that finished a trial last first."""
        return self._watch.names()

    def version(self, study: str) -> Version:
        """Return the version of a study: of its last snapshot, until it may be read again."""
        known = self._known.get(study)
        if known is not None and time.monotonic() < self._next_reading:
            return known.version
        return self._watch.version(study)

    def snapshot(self, study: str) -> Snapshot:
        """Return a study as it is on record now, or was a moment ago, where reading takes long.

        Raises
        ------
        WorkspaceError
            If the workspace has no such study.
        """
        with self._lock:
            known, version = self._known.get(study), self.version(study)
            if known is None or known.version != version:
                start = time.monotonic()
                known = self._known[study] = self._read(study, version)
                self._next_reading = time.monotonic() + (time.monotonic() - start) / READING_SHARE
            return known

    def _read(self, study: str, version: Version) -> Snapshot:
        # The version is older than what is read: a trial that ends in between is news for the next look.
        read = Snapshot(version, reading.open(self.root, study))
        _ = read.measured, read.failures, read.pace  # under the lock, so that no two threads compute them
        return read
