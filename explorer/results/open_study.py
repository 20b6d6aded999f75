"""A workspace and the name of a study → the study opened once, read-only: its trials, fronts, answers and pages."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from explorer.core.errors import ExplorerError, Failure, WorkspaceError, did_you_mean
from explorer.core.metric import Metric
from explorer.core.quantities import quantities
from explorer.fronts import certainty, pareto
from explorer.fronts.knee import knees
from explorer.profiles.kept import Kept
from explorer.profiles.profile import Profile
from explorer.results import export
from explorer.results.account import Coverage, LayerAccount, coverage_of
from explorer.results.across_devices.comparison import Comparison, compare
from explorer.results.across_devices.joint import with_joint
from explorer.results.across_devices.lines import lines
from explorer.results.answers import best_stack, menu
from explorer.results.emulated import (
    emulated_devices,
    only_one,
    refuse_comparison,
    refuse_mixed,
    without_emulated,
)
from explorer.results.figures.fronts import fronts
from explorer.results.figures.page import write
from explorer.results.progress.status import Status, status_of
from explorer.results.ranking import ranking_of
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.report import Report
from explorer.results.trial import LAYERS, Trial
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
        the probability that, with latencies where their intervals allow, the trial is on the front, and ``knee`` tells
        whether it is the knee of its device's front; see `explorer.fronts.knee`.

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
        rows = certainty.front_with_ties(self.frame, self.objectives, self.limits)
        return rows.assign(knee=rows.index.isin(list(knees(rows[~rows["tied"]]).values())))

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
        latency_ms: float | None = None,
        device: str | None = None,
        min_accuracy: float | None = None,
        confidence: float | None = None,
        emulated: bool = False,
        max_drop: float | None = None,
        speed_up: float | None = None,
        metric_bound: float | None = None,
    ) -> best_stack.Best:
        """Return the most accurate stack on `device` that is fast enough, or the fastest where any speed will do.

        Parameters
        ----------
        latency_ms
            Median latency that it takes at most.
        device
            May be left out where the study has one that is not emulated. Several that one stack must serve are joined
            as ``"a+b"``: it is fast enough on each, whether it was measured on them at once or apart.
        min_accuracy
            Share of the validation images below which no stack is an answer.
        confidence
            Probability, above 0 and below 1, with which an answer must be fast enough.
        emulated
            Whether emulated devices count as real ones do: they may be left out likewise, and joined with real ones.
        max_drop
            Share of the validation images by which an answer may lie below the uncompressed network.
        speed_up
            Times that an answer is at least as fast as the uncompressed network; see `explorer.results.answers.bases`.
        metric_bound
            Of a study with a metric of its own, in place of `min_accuracy`: what it is at least or, minimised, at most.

        Raises
        ------
        ExplorerError
            If no trial has run on `device`, no stack on all of several, the study has several devices and none is
            given, nothing is asked or a goal cannot be meant, no uncompressed trial is on record that a goal is
            relative to, or `device` joins real devices and emulated ones.
        """
        wanted = self.one_device(device, emulated)
        found = best_stack.best(
            with_joint(self.frame, wanted),
            wanted,
            latency_ms,
            min_accuracy,
            confidence,
            max_drop,
            speed_up,
            everywhere=self.frame,
            metric_bound=metric_bound,
        )
        shown = found.stack or found.nearest
        return replace(found, why=self.why(shown.number) if shown else "")

    def menu(
        self, device: str | None = None, budgets: Sequence[float] = (), emulated: bool = False
    ) -> list[menu.Entry]:
        """Return the most accurate stack within each budget, for `device` or for each device of the study.

        Parameters
        ----------
        device
            May join several as ``"a+b"``; see `best`.
        budgets
            In ms; the steps of each device's accuracy/latency front unless given.
        emulated
            Whether `device` may join real devices and emulated ones; each by itself has its menu anyway.

        Raises
        ------
        ExplorerError
            If no trial has run on `device`, no stack on all of several, it joins real devices and emulated ones, or a
            budget is not above 0.
        """
        refuse_mixed(device or "", frozenset() if emulated else self.emulated_devices)
        frame = self.frame if device is None else with_joint(self.frame, device)
        devices = sorted(frame["device"].unique())
        if device is not None and device not in devices:
            raise ExplorerError(f"no trial has run on device '{device}'{did_you_mean(device, devices)}")
        wanted = devices if device is None else [device]
        return [each for name in wanted for each in menu.menu(frame, name, budgets, self.limits, self.frame)]

    def one_device(self, device: str | None, emulated: bool = False) -> str:
        """Return `device`, or the study's only one, `emulated` ones not counted unless they are asked for.

        Raises
        ------
        ExplorerError
            If the study has several and none is given, or `device` joins real devices and emulated ones.
        """
        left_out = frozenset() if emulated else self.emulated_devices
        wanted = device or only_one(sorted(self.frame["device"].unique()), left_out)
        refuse_mixed(wanted, left_out)
        return wanted

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
        return Trial(row, layers, log, self.why(number), ranking)

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

    def report(self, emulated: bool = False) -> Report:
        """Return what the study says about the questions of the stack; its `write` makes a page of it.

        Parameters
        ----------
        emulated
            Whether emulated devices stand beside real ones.
        """
        return Report.of(self.evidence(emulated), self.space_file if "space" in self._attributes else None)

    def evidence(self, emulated: bool = False) -> Evidence:
        """Return what a report answers its questions by; see `report`."""
        return Evidence.of(self.name, self.frame, self._front_with_ties, self.objectives, self.limits, emulated)


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
