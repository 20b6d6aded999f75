"""Kind of a figure and an opened study → the figure; and figures → files: pages, and images without a browser.

A kind is a line of `KINDS` and a function ``draw(study, options)`` in the module that it names, which returns a Plotly
figure, or None where the study has nothing to draw; or the module of a question of a report, whose figure it is.
Listing the kinds imports none of these modules.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from explorer.core.errors import ExplorerError, did_you_mean
from explorer.results import export

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from explorer.profiles.profile import Profile
    from explorer.space.limits import Limit

PAGE = "html"
FORMATS = (PAGE, "png", "svg", "pdf")


class Study(Protocol):
    """What figures read of a study: `explorer.results.open_study.OpenStudy`, which itself draws some of them."""

    name: str

    @property
    def frame(self) -> pd.DataFrame: ...  # noqa: D102

    @property
    def limits(self) -> Sequence[Limit]: ...  # noqa: D102

    @property
    def emulated_devices(self) -> Set[str]: ...  # noqa: D102

    def on(self, device: str | None) -> pd.DataFrame: ...  # noqa: D102

    def evidence(self, emulated: bool = False) -> object: ...  # noqa: D102

    def profiles(self, trial: int) -> Mapping[str, Profile]: ...  # noqa: D102


class Kind(NamedTuple):
    """A kind of figure.

    Parameters
    ----------
    module
        The module with its ``draw`` or, as `answers` says, with the ``QUESTION`` of a report that it answers.
    shows
        What is to be seen, for lists.
    takes
        The options that it heeds, names of `Options`.
    lacks
        What a study needs that has nothing to draw, after "needs".
    """

    module: str
    shows: str
    takes: tuple[str, ...] = ()
    lacks: str = "a complete trial"
    answers: bool = False


def _answer(question: str, shows: str, lacks: str) -> Kind:
    """Return the kind of figure that a question of a report is answered with."""
    return Kind(f"explorer.results.study_report.questions.{question}", shows, ("emulated",), lacks, answers=True)


KINDS: Mapping[str, Kind] = {
    "front": Kind(
        "explorer.results.figures.fronts",
        "accuracy over latency on each device, with the front",
        ("device", "latency_ms"),
    ),
    "across_devices": Kind(
        "explorer.results.across_devices.lines",
        "the latency of each stack from device to device",
        ("latency_ms", "emulated"),
        "stacks that were measured on at least two devices",
    ),
    "profile": Kind(
        "explorer.results.figures.profile",
        "the time of a network, layer by layer",
        ("trial", "device"),
        "a profile of that trial on that device; 'dlas profile' takes one",
    ),
    "correlations": _answer("correlations", "how accuracy, size, MACs and latency go together", "three stacks"),
    "speed_up": _answer(
        "speed_up", "the speed-up of each compression beside what is expected", "a compressed stack beside its base"
    ),
    "sparsity": _answer(
        "sparsity", "the time in csr over that of dense kernels, by the ratio", "pruned stacks in csr and in dense"
    ),
    "winners": _answer("algorithms", "which algorithm wins how often", "stacks that differ in the algorithm alone"),
    "tuning": _answer("tuning", "what tuning is worth", "tuned stacks beside the same ones untuned"),
    "importances": _answer(
        "importances", "how much of latency and accuracy each layer of the stack explains", "enough stacks that differ"
    ),
    "failures": _answer("failures", "what failed, and which layers fell back", "a trial that failed or fell back"),
}


@dataclass(frozen=True)
class Options:
    """What a figure may be asked for beside its kind.

    Parameters
    ----------
    device
        The one to draw; all unless given.
    latency_ms
        A budget to draw.
    emulated
        Whether emulated devices stand beside real ones.
    trial
        The one to draw.
    """

    device: str | None = None
    latency_ms: float | None = None
    emulated: bool = False
    trial: int | None = None

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the options that differ from what they are unless given."""
        return tuple(each.name for each in fields(self) if getattr(self, each.name) != each.default)


def draw(kind: str, study: Study, options: Options) -> go.Figure:
    """Return the figure of a kind.

    Raises
    ------
    ExplorerError
        If there is no such kind, it does not take an option, or the study has nothing to draw.
    """
    if kind not in KINDS:
        raise ExplorerError(f"unknown figure '{kind}'{did_you_mean(kind, KINDS)}")
    own = KINDS[kind]
    for name in options.given:
        if name not in own.takes:
            taken = ", ".join(f"--{each.replace('_', '-')}" for each in own.takes) or "none"
            raise ExplorerError(f"figure {kind} takes no --{name.replace('_', '-')}; it takes: {taken}")
    module = importlib.import_module(own.module)
    figure: go.Figure | None = (
        module.QUESTION.figure(study.evidence(options.emulated)) if own.answers else module.draw(study, options)
    )
    if figure is None:
        raise ExplorerError(f"figure {kind} needs {own.lacks}, and study '{study.name}' has none")
    return figure


def save(figure: go.Figure, path: Path) -> None:
    """Write a figure as a page that works offline, or as an image, as the ending of `path` says.

    Raises
    ------
    ExplorerError
        If the ending is none of `FORMATS`, or the file cannot be written.
    """
    ending = path.suffix[1:].lower()
    if ending not in FORMATS:
        raise ExplorerError(f"'{path}' does not end in a format of figures{did_you_mean(ending, FORMATS)}")
    with export.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if ending == PAGE:
            from explorer.results.figures import page

            page.write([figure], path)
        else:
            from explorer.results.figures import static

            static.write(figure, path)
