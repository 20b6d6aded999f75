"""A workspace and the name of a study → the study opened once, read-only: its trials, fronts, answers and pages."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.core.errors import ExplorerError, LeftOut, WorkspaceError, did_you_mean
from explorer.core.files import regular
from explorer.core.measurement.metric import Metric
from explorer.fronts import certainty, pareto
from explorer.fronts.knee import knees
from explorer.results.across_devices.comparison import Comparison, compare
from explorer.results.across_devices.joint import with_joint
from explorer.results.across_devices.lines import lines
from explorer.results.answers import best_stack, menu
from explorer.results.answers.goals import Goals
from explorer.results.emulated import (
    only_one,
    refuse_comparison,
    refuse_mixed,
    without_emulated,
)
from explorer.results.figures.fronts import fronts
from explorer.results.figures.page import write
from explorer.results.on_record import OnRecord
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.report import Report
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd


class OpenStudy(OnRecord):
    """One study of a workspace, and the answers to questions about it; see `OnRecord` for what it is read from.

    All answers are about the same trials. Open the study again to see trials that have finished since.
    """

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
        joined, metric = with_joint(self.frame, wanted), Metric.of_frame(self.frame)
        goals = Goals(latency_ms, min_accuracy, max_drop, speed_up, confidence, metric_bound, metric)
        found = best_stack.best(joined, wanted, goals, everywhere=self.frame)
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
        if path is None and not page.is_file():
            regular.clear(page)  # a pipe in its place would wait for a reader for ever
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
    records = Records(workspace.url)
    studies = records.studies()
    if studies and (study is None or study in studies):
        return OpenStudy(workspace, records, _readable(records, study or studies[0]))
    records.close()
    if not studies:
        raise WorkspaceError(f"no trial has finished yet in workspace '{workspace.root}'")
    raise WorkspaceError(f"no study '{study}' in workspace '{workspace.root}'{did_you_mean(study, studies)}")


def _readable(records: Records, study: str) -> str:
    """Return the name of a study once a trial of it can be read; warn of trials that cannot.

    Raises
    ------
    WorkspaceError
        If none can.
    """
    odd = records.odd(study)
    for number, why in odd.items():
        warnings.warn(f"trial {number} of study '{study}' is left out: {why}", LeftOut, stacklevel=2)
    if odd and not sum(records.count(study)):
        number, why = next(iter(odd.items()))
        raise WorkspaceError(
            f"no trial of study '{study}' can be read: trial {number}: {why}; put a copy of the database there"
        )
    return study
