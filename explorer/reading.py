"""A workspace folder → a study of it opened, or one question to it answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# Everything else is imported where it is used: `import explorer` and `dlas --help` answer at once.
if TYPE_CHECKING:
    import pandas as pd

    from explorer.results.across_devices.comparison import Comparison
    from explorer.results.answers.best_stack import Best
    from explorer.results.answers.menu import Entry
    from explorer.results.open_study import OpenStudy
    from explorer.results.trials.account import LayerAccount
    from explorer.space.limits import Limit
    from explorer.space.toml.space_file import Direction
    from explorer.workspace.database.records import Records

DEFAULT_WORKSPACE = "workspace"


def open(workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> OpenStudy:
    """Open `study`, by default the one that finished a trial last, to be read only.

    Each question below opens the study anew; whoever has several opens it once:

    >>> with explorer.open("workspace") as study:
    ...     study.front(), study.best(latency_ms=2.0)

    Raises
    ------
    WorkspaceError
        If the workspace has no such study, or none with a finished trial.
    """
    from explorer.results.open_study import open_study

    return open_study(Path(workspace), study)


def frame(workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> pd.DataFrame:
    """Return one row per finished trial of `study`, by default of the study that finished a trial last.

    Accuracies are shares in [0, 1], latencies milliseconds, sizes bytes.

    Raises
    ------
    WorkspaceError
        If the workspace has no such study.
    """
    with open(workspace, study) as opened:
        return opened.frame


def front(
    workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None, device: str | None = None
) -> pd.DataFrame:
    """Return the trials that no other on the same device dominates in the study's objectives, the best first.

    Trials that break a limit of the study's latest run are not among them. The column ``front_probability`` has the
    probability that, with latencies where their intervals allow, the trial is on the front, and ``knee`` tells whether
    it is the knee of its device's front; see `explorer.fronts.knee`.

    Raises
    ------
    ExplorerError
        If no trial has run on `device`.
    """
    with open(workspace, study) as opened:
        return opened.front(device)


def ties(
    workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None, device: str | None = None
) -> pd.DataFrame:
    """Return the trials off the front that its latencies' intervals cannot tell apart from it; see `front`."""
    with open(workspace, study) as opened:
        return opened.ties(device)


def nearest(
    workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None, device: str | None = None
) -> pd.DataFrame:
    """Return, for each device on which no trial keeps the limits, the one that breaks them least; see `front`."""
    with open(workspace, study) as opened:
        return opened.nearest(device)


def compare(
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    device: str | None = None,
    emulated: bool = False,
) -> Comparison:
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
    with open(workspace, study) as opened:
        return opened.compare(device, emulated)


def layers(trial: int, workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> list[LayerAccount]:
    """Return the compiled network's account: per layer its shapes, what was asked, what ran and why they differ.

    It is empty for a trial that failed, and where the artifact is gone.
    """
    with open(workspace, study) as opened:
        return opened.layers(trial)


def best(
    latency_ms: float | None = None,
    device: str | None = None,
    min_accuracy: float | None = None,
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    confidence: float | None = None,
    emulated: bool = False,
    max_drop: float | None = None,
    speed_up: float | None = None,
    metric_bound: float | None = None,
) -> Best:
    """Return the most accurate stack on `device` that is fast enough, or the fastest where any speed will do.

    Parameters
    ----------
    latency_ms
        Median latency that it takes at most.
    device
        May be left out where the study has one that is not emulated. Several that one stack must serve are joined as
        ``"a+b"``: it is fast enough on each, whether it was measured on them at once or apart.
    min_accuracy
        Share of the validation images below which no stack is an answer.
    confidence
        Probability, above 0 and below 1, with which an answer must be fast enough.
    emulated
        Whether emulated devices count as real ones do: they may be left out likewise, and joined with real ones.
    max_drop
        Share of the validation images by which an answer may lie below the uncompressed network of its data set, model
        and width.
    speed_up
        Times that an answer is at least as fast as the fastest uncompressed stack of its data set, model and width on
        the device, with its threads and batch.
    metric_bound
        Of a study with a metric of its own, in place of `min_accuracy`: what it is at least or, minimised, at most.

    Raises
    ------
    ExplorerError
        If no trial has run on `device`, no stack on all of several, the study has several devices and none is given,
        nothing is asked or a goal cannot be meant, no uncompressed trial is on record that a goal is relative to, or
        `device` joins real devices and emulated ones.
    """
    with open(workspace, study) as opened:
        return opened.best(latency_ms, device, min_accuracy, confidence, emulated, max_drop, speed_up, metric_bound)


def menu(
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    device: str | None = None,
    budgets: Sequence[float] = (),
    emulated: bool = False,
) -> list[Entry]:
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
    with open(workspace, study) as opened:
        return opened.menu(device, budgets, emulated)


def figure(
    path: Path | str,
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    latency_ms: float | None = None,
    emulated: bool = False,
) -> Path:
    """Write the accuracy/latency fronts of every device as one HTML page that works offline, and return its path.

    Below them lies each stack's latency across devices, where stacks were measured on several; on emulated ones only
    if `emulated`.
    """
    with open(workspace, study) as opened:
        return opened.figure(path, latency_ms, emulated)


def draw(
    kind: str,
    path: Path | str,
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    *,
    device: str | None = None,
    latency_ms: float | None = None,
    emulated: bool = False,
    trial: int | None = None,
) -> Path:
    """Draw one kind of figure into a page or an image, as the ending of `path` says, and return its path.

    Parameters
    ----------
    kind
        A name of `explorer.results.figures.kinds.KINDS`, which says what options it takes.
    device, latency_ms, emulated, trial
        See `explorer.results.figures.kinds.Options`.

    Raises
    ------
    ExplorerError
        If there is no such kind, it does not take an option, the study has nothing to draw, or the file cannot be
        written.
    """
    from explorer.results.figures import kinds

    with open(workspace, study) as opened:
        drawn = kinds.draw(kind, opened, kinds.Options(device, latency_ms, emulated, trial))
    kinds.save(drawn, Path(path))
    return Path(path)


def report(
    path: Path | str = "report.html",
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    markdown: bool = False,
    emulated: bool = False,
) -> Path:
    """Write what the study says about the questions of the stack, and return the path of what is written.

    That is one HTML page that works offline, or a text in Markdown. Beside it lies the next search space to run, under
    its name with ``-next.toml`` in place of the ending.

    Parameters
    ----------
    emulated
        Whether emulated devices stand beside real ones.

    Raises
    ------
    ExplorerError
        If a file cannot be written.
    """
    with open(workspace, study) as opened:
        return opened.report(emulated).write(Path(path), markdown)


def objectives(workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> Mapping[str, Direction]:
    """Return quantity → direction, as the study was started with."""
    with open(workspace, study) as opened:
        return opened.objectives


def study_limits(workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> tuple[Limit, ...]:
    """Return the bounds on measured quantities that the study's latest run was given."""
    with open(workspace, study) as opened:
        return opened.limits


def study_records(workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> tuple[Records, str]:
    """Return the records of a workspace and the name of `study` in it, by default that of the latest one.

    Raises
    ------
    WorkspaceError
        If the workspace has no such study, or none with a finished trial.
    """
    opened = open(workspace, study)
    return opened.records, opened.name
