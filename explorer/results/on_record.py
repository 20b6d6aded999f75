"""One study of a workspace → what is on record of it: its trials, what it was started with, each trial's network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from explorer.core.errors import ExplorerError, Failure, WorkspaceError, did_you_mean
from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import quantities
from explorer.profiles.kept import Kept
from explorer.profiles.profile import Profile
from explorer.results import export
from explorer.results.emulated import emulated_devices
from explorer.results.measured_on import MeasuredOn, measured_on
from explorer.results.progress.status import Status, status_of
from explorer.results.trials.account import Coverage, LayerAccount, coverage_of
from explorer.results.trials.ranking import ranking_of
from explorer.results.trials.trial import LAYERS, Trial
from explorer.space.limits import Limit
from explorer.space.toml.space_file import Direction
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


class OnRecord:
    """One study of a workspace, with the records open until `close`, or the end of a ``with`` block.

    It reads each property once, when it is first asked for.

    Parameters
    ----------
    records
        The opened records of the workspace.
    name
        The study's; it has a finished trial.
    """

    def __init__(self, workspace: Workspace, records: Records, name: str) -> None:
        self.workspace = workspace
        self.records = records
        self.name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection to the database; properties that were read remain."""
        self.records.close()

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per finished trial: accuracies are shares in [0, 1], latencies milliseconds, sizes bytes."""
        return self.records.frame(self.name)

    @cached_property
    def emulated_devices(self) -> frozenset[str]:
        """The names of the devices whose measurements are marked as emulated."""
        return emulated_devices(self.frame)

    @cached_property
    def objectives(self) -> Mapping[str, Direction]:
        """Quantity → direction, as the study was started with."""
        try:
            return dict(self._attributes["question"]["objectives"])
        except (KeyError, TypeError, ValueError):
            raise WorkspaceError(
                f"the database of workspace '{self.workspace.root}' does not say what study '{self.name}' asks; "
                "put a copy of the database in its place"
            ) from None

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """The bounds on measured quantities that the study's latest run was given."""
        known = quantities(self.metric.name)
        return tuple(Limit.parse(text, known) for text in self._attributes.get("limits", ()))

    @cached_property
    def metric(self) -> Metric:
        """What the study's networks are judged by: the accuracy, or a metric of the user's own."""
        asked = self._attributes.get("question", {}).get("settings", {}).get("evaluate", {})
        return Metric.given(asked.get("metric", ""), asked.get("direction", "maximize"))

    @cached_property
    def wanted(self) -> int | None:
        """The number of trials that the study's latest run asked for; None where that is not on record."""
        return self._attributes.get("trials")

    @cached_property
    def space_file(self) -> Path:
        """The search-space file of the study's latest run.

        Raises
        ------
        ExplorerError
            If that is not on record.
        """
        if "space" not in self._attributes:
            raise ExplorerError(f"study '{self.name}' does not say which file its space is in; give it with --space")
        return Path(self._attributes["space"])

    @cached_property
    def _attributes(self) -> Mapping[str, Any]:
        """The notes of a run on its space, which are in the Optuna study; see `explorer.search.optuna_study.study`."""
        return self.records.study_attributes(self.name)

    @cached_property
    def devices(self) -> list[MeasuredOn]:
        """The devices that trials of the study were measured on; several may have had one name."""
        return measured_on(self.name, self.records)

    def on(self, device: str | None) -> pd.DataFrame:
        """Return the rows of the trials on `device`, or all rows for None.

        Raises
        ------
        ExplorerError
            If no trial has run on `device`.
        """
        if device is None:
            return self.frame
        devices = sorted(self.frame["device"].unique())
        if device not in devices:
            raise ExplorerError(f"no trial has run on device '{device}'{did_you_mean(device, devices)}")
        return self.frame[self.frame["device"] == device]

    def layers(self, trial: int) -> list[LayerAccount]:
        """Return the compiled network's account: per layer its shapes, what was asked, what ran and why they differ.

        It is empty for a trial that failed, and where the artifact is gone.
        """
        outcome = self.records.outcome(self.name, trial)
        key = None if outcome is None or isinstance(outcome, Failure) else outcome.values["build_key"]
        built = key and Store(self.workspace.artifacts).find("build", key)
        account: list[LayerAccount] = json.loads((built.path / LAYERS).read_text()) if built else []
        return account

    def coverage(self, front: pd.DataFrame) -> dict[int, Coverage]:
        """Return what the choices of each trial of `front` apply to, of those whose compiled network is there."""
        found = {int(number): coverage_of(self.layers(int(number))) for number in front.get("number", ())}
        return {number: covered for number, covered in found.items() if covered}

    def trial(self, number: int) -> Trial:
        """Return all that is on record of one trial.

        Raises
        ------
        ExplorerError
            If no trial of this number has finished.
        """
        row = self._row(number)
        outcome = self.records.outcome(self.name, number)
        log = outcome.log if isinstance(outcome, Failure) else ""
        layers, key = self.layers(number), row.get("rank_key")
        ranked = Store(self.workspace.artifacts).find("rank", key) if isinstance(key, str) else None
        ranking = ranking_of(ranked.path, layers) if ranked else []
        devices = [] if log else measured_on(self.name, self.records, [number])
        return Trial(row, layers, log, self.why(number), ranking, devices)

    def _row(self, number: int) -> dict[str, Any]:
        """Return column → plain value of a finished trial; see `trial` for errors."""
        found = self.frame[self.frame["number"] == number]
        if found.empty:
            last = self.frame["number"].max()
            raise ExplorerError(f"study '{self.name}' has no finished trial {number}; its last is {last}")
        (row,) = export.rows(found)
        return row

    @cached_property
    def kept(self) -> Kept:
        """The profiles of the study's trials."""
        return Kept(self.frame, Store(self.workspace.artifacts), self._attributes.get("space", ""))

    def why(self, number: int) -> str:
        """Return in one sentence how a trial's latency compares with its base's; see `explorer.profiles.kept.Kept`."""
        return self.kept.why(number)

    def profiles(self, trial: int) -> dict[str, Profile]:
        """Return device → what each program of a trial's network takes there, as far as that was profiled.

        Raises
        ------
        ExplorerError
            If no trial of this number has finished.
        """
        self._row(trial)  # refuses one that there is not
        return self.kept.profiles(trial)

    def status(self) -> Status:
        """Return how far the study is, what failed and why, and what the stages of the workspace have cost."""
        return status_of(self.name, self.records, self.frame)
