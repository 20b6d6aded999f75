"""A workspace and the name of a study → the study opened once, read-only: its trials, fronts, answers and pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from explorer.core.errors import ExplorerError, Failure, WorkspaceError, did_you_mean
from explorer.fronts import certainty, pareto
from explorer.results import best_stack, export
from explorer.results.across_devices.comparison import Comparison, compare
from explorer.results.across_devices.joint import with_joint
from explorer.results.across_devices.lines import lines
from explorer.results.emulated import (
    emulated_devices,
    only_one,
    refuse_comparison,
    refuse_mixed,
    without_emulated,
)
from explorer.results.figures.fronts import fronts
from explorer.results.figures.page import write
from explorer.results.status import Status, status_of
from explorer.results.trial import LAYERS, LayerAccount, Trial
from explorer.space.limits import Limit
from explorer.space.space_file import Direction
from explorer.workspace.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


class OpenStudy:
    """One study of a workspace, with the records open until `close`, or the end of a ``with`` block.

    It reads each property once, when it is first asked for, so that all answers are about the same trials. Open the
    study again to see trials that have finished since.

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

    def __enter__(self) -> OpenStudy:
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
        return dict(self._attributes["question"]["objectives"])

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """The bounds on measured quantities that the study's latest run was given."""
        return tuple(Limit.parse(text) for text in self._attributes.get("limits", ()))

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
        """The notes of a run on its space, which are in the Optuna study; see `explorer.search.study`."""
        return self.records.study_attributes(self.name)

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

    def front(self, device: str | None = None) -> pd.DataFrame:
        """Return the trials that no other on the same device dominates in the study's objectives, the best first.

        Trials that break a limit of the study's latest run are not among them. The column ``front_probability`` has
        the probability that, with latencies where their intervals allow, the trial is on the front.

        Raises
        ------
        ExplorerError
            If no trial has run on `device`.
        """
        rows = self.front_with_ties(device)
        return rows[~rows["tied"]].drop(columns="tied")

    def ties(self, device: str | None = None) -> pd.DataFrame:
        """Return the trials off the front that its latencies' intervals cannot tell apart from it, the likeliest first.

        Their columns are those of `front`, their probabilities of being on it at least `certainty.TIED_FROM`.

        Raises
        ------
        ExplorerError
            If no trial has run on `device`.
        """
        rows = self.front_with_ties(device)
        return rows[rows["tied"]].drop(columns="tied")

    def front_with_ties(self, device: str | None = None) -> pd.DataFrame:
        """Return the rows of `front` and of `ties`, device by device, with the column ``tied`` that tells them apart.

        Raises
        ------
        ExplorerError
            If no trial has run on `device`.
        """
        self.on(device)  # refuses one that no trial has run on
        rows = self._front_with_ties
        return rows if device is None else rows[rows["device"] == device]

    @cached_property
    def _front_with_ties(self) -> pd.DataFrame:
        return certainty.front_with_ties(self.frame, self.objectives, self.limits)

    def nearest(self, device: str | None = None) -> pd.DataFrame:
        """Return, for each device on which no trial keeps the limits, the one that breaks them least; see `front`."""
        return pareto.nearest(self.on(device), self.limits)

    def compare(self, device: str | None = None, emulated: bool = False) -> Comparison:
        """Return what the stacks on the front of `device`, or of each device, cost on the other devices.

        Parameters
        ----------
        emulated
            Whether emulated devices are among them.

        Raises
        ------
        ExplorerError
            If no trial has run on `device`, all have run on one device, or `device` is emulated and left out.
        """
        self.on(device)  # refuses one that no trial has run on
        left_out = frozenset() if emulated else self.emulated_devices
        refuse_comparison(device, self.frame["device"].unique(), left_out)
        frame, on_fronts = (without_emulated(rows, left_out) for rows in (self.frame, self._front_with_ties))
        return compare(frame, on_fronts, self.limits, device)

    def best(
        self,
        latency_ms: float,
        device: str | None = None,
        min_accuracy: float | None = None,
        confidence: float | None = None,
        emulated: bool = False,
    ) -> best_stack.Best:
        """Return the most accurate stack whose median latency on `device` is at most `latency_ms`.

        Parameters
        ----------
        device
            May be left out where the study has one that is not emulated. Several that one stack must serve are joined
            as ``"a+b"``: its latency keeps the budget on each, whether it was measured on them at once or apart.
        min_accuracy
            Share of the validation images below which no stack is an answer.
        confidence
            Probability, above 0 and below 1, with which an answer must keep the budget.
        emulated
            Whether emulated devices count as real ones do: they may be left out likewise, and joined with real ones.

        Raises
        ------
        ExplorerError
            If no trial has run on `device`, no stack on all of several, the study has several devices and none is
            given, `confidence` is not such a probability, or `device` joins real devices and emulated ones.
        """
        left_out = frozenset() if emulated else self.emulated_devices
        wanted = device or only_one(sorted(self.frame["device"].unique()), left_out)
        refuse_mixed(wanted, left_out)
        return best_stack.best(with_joint(self.frame, wanted), wanted, latency_ms, min_accuracy, confidence)

    def layers(self, trial: int) -> list[LayerAccount]:
        """Return the compiled network's account: per layer its shapes, what was asked, what ran and why they differ.

        It is empty for a trial that failed, and where the artifact is gone.
        """
        outcome = self.records.outcome(self.name, trial)
        key = None if outcome is None or isinstance(outcome, Failure) else outcome.values["build_key"]
        built = key and Store(self.workspace.artifacts).find("build", key)
        account: list[LayerAccount] = json.loads((built.path / LAYERS).read_text()) if built else []
        return account

    def trial(self, number: int) -> Trial:
        """Return all that is on record of one trial.

        Raises
        ------
        ExplorerError
            If no trial of this number has finished.
        """
        found = self.frame[self.frame["number"] == number]
        if found.empty:
            last = self.frame["number"].max()
            raise ExplorerError(f"study '{self.name}' has no finished trial {number}; its last is {last}")
        (row,) = export.rows(found)
        outcome = self.records.outcome(self.name, number)
        log = outcome.log if isinstance(outcome, Failure) else ""
        return Trial(row, self.layers(number), log)

    def status(self) -> Status:
        """Return how far the study is, what failed and why, and what the stages of the workspace have cost."""
        return status_of(self.name, self.records, self.frame)

    def figure(self, path: Path | str | None = None, latency_ms: float | None = None, emulated: bool = False) -> Path:
        """Write the accuracy/latency fronts of every device as one HTML page that works offline, and return its path.

        Below them lies each stack's latency across devices, where stacks were measured on several.

        Parameters
        ----------
        path
            The page; the one of the study in its workspace unless given.
        latency_ms
            A budget to draw.
        emulated
            Whether emulated devices, whose fronts the page has, stand beside real ones below.
        """
        page = self.workspace.figure(self.name) if path is None else Path(path)
        drawn = fronts(self.frame, self.name, latency_ms, self.limits)
        beside = without_emulated(self.frame, () if emulated else self.emulated_devices)
        across = lines(beside, self.name, latency_ms, self.limits)
        write([drawn, *([across] if across is not None else [])], page)
        return page


def open_study(root: Path, study: str | None = None) -> OpenStudy:
    """Open `study` of the workspace in the folder `root`, by default the one that finished a trial last.

    Raises
    ------
    WorkspaceError
        If the workspace has no such study, or none with a finished trial.
    """
    workspace = Workspace(root).must_exist()
    try:
        records = Records(workspace.url)
        studies = records.studies()
    except sa.exc.DatabaseError as error:
        raise WorkspaceError(f"'{workspace.database}' is no study's database: {error.orig}") from None
    if studies and (study is None or study in studies):
        return OpenStudy(workspace, records, study or studies[0])
    records.close()
    if not studies:
        raise WorkspaceError(f"no trial has finished yet in workspace '{workspace.root}'")
    raise WorkspaceError(f"no study '{study}' in workspace '{workspace.root}'{did_you_mean(study, studies)}")
