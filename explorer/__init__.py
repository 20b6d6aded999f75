"""A workspace folder → its study run, and read as pandas frames and answers; the command line calls these functions.

>>> import explorer
>>> explorer.run("quickstart", workspace="workspace")
>>> explorer.front("workspace")
>>> explorer.best(device="local", latency_ms=2.0)
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.core.errors import ExplorerError, Failure, WorkspaceError, did_you_mean

# Everything else is imported where it is used: `import explorer` and `dlas --help` answer at once.
if TYPE_CHECKING:
    import pandas as pd
    from optuna.trial import BaseTrial

    from explorer.line.dry_run import StageCount
    from explorer.results.report import Best
    from explorer.search.planning import Plan
    from explorer.search.search import Observer, Summary
    from explorer.space.limits import Limit
    from explorer.space.space import Space
    from explorer.space.space_file import Direction
    from explorer.workspace.records import Records

__all__ = [
    "DEFAULT_WORKSPACE",
    "best",
    "count",
    "evaluate",
    "figure",
    "frame",
    "front",
    "grid",
    "layers",
    "nearest",
    "objectives",
    "plan",
    "run",
    "study_limits",
    "study_records",
    "tune_space",
]

DEFAULT_WORKSPACE = "workspace"
LAYERS = "layers.json"  # in a build artifact; explorer.line.stages.build, which writes it, imports TVM


def run(
    space: Path | str,
    workspace: Path | str = DEFAULT_WORKSPACE,
    *,
    trials: int | None = None,
    sampler: str | None = None,
    seed: int | None = None,
    engine: str = "local",
    address: str | None = None,
    jobs: int | None = None,
    database: str | None = None,
    observer: Observer | None = None,
) -> Summary:
    """Search `space` until its study has all trials; one that was interrupted goes on where it stopped.

    Parameters
    ----------
    space
        A search-space file, or the name of a bundled one such as ``"quickstart"``.
    workspace
        Folder that the study and its artifacts lie in.
    trials, sampler, seed
        Replace those of the file.
    engine, address
        Where stages run: ``"local"``, on this machine, or ``"ray"``, on the cluster whose head has `address`; without
        one, on a cluster of this machine alone.
    jobs
        How many trainings, and how many compilations beside them, run at once on this machine; by its cores and GPUs
        unless given.
    database
        SQLAlchemy URL of the database that the workspace's studies are in from now on, such as one of PostgreSQL that
        several machines reach; a file in the workspace unless given.
    observer
        Is told how the study goes; progress on the terminal unless given.

    Raises
    ------
    ExplorerError
        If the space, the workspace or a device cannot be used.
    """
    from explorer.search import search
    from explorer.space.space import load
    from explorer.workspace.workspace import Workspace

    where = search.Where(engine, address, jobs)
    searched = load(Path(space)).searched(sampler, trials, seed)
    with _observed(
        observer, f"{searched.name}: {searched.size}; {searched.trials} trials, sampler {searched.sampler}"
    ) as told:
        return search.run(searched, Workspace(Path(workspace)).on(database), told, where)


def grid(
    space: Path | str,
    workspace: Path | str = DEFAULT_WORKSPACE,
    *,
    shard: str = "1/1",
    engine: str = "local",
    address: str | None = None,
    jobs: int | None = None,
    database: str | None = None,
    observer: Observer | None = None,
) -> Summary:
    """Evaluate every configuration of `space`; a grid that was interrupted goes on where it stopped.

    Parameters
    ----------
    shard
        ``"i/n"``: the i-th of n equal parts of the grid.
    space, workspace, engine, address, jobs, database, observer
        As in `run`.

    Raises
    ------
    ExplorerError
        If the space, the shard, the workspace or a device cannot be used.
    """
    from explorer.search import grid, search
    from explorer.space.space import load
    from explorer.workspace.workspace import Workspace

    where = search.Where(engine, address, jobs)
    whole, part = load(Path(space)).whole, grid.Shard.parse(shard)
    with _observed(observer, f"{whole.name}: {part.size(whole):,} of {whole.size}") as told:
        return grid.run(whole, Workspace(Path(workspace)).on(database), told, part, where)


def evaluate(
    space: Path | str,
    configuration: Mapping[str, Any],
    workspace: Path | str = DEFAULT_WORKSPACE,
    *,
    engine: str = "local",
    address: str | None = None,
    jobs: int | None = None,
    observer: Observer | None = None,
) -> dict[str, Any]:
    """Take one configuration of `space` down the stack and return what a trial would have on record of it.

    It becomes no trial of the study; what the workspace has of its stages and measurements is not computed again, and
    what is computed now is there for later studies.

    Parameters
    ----------
    configuration
        Axis → choice, as in the columns of `frame`; axes that are left out have their defaults.
    space, workspace, engine, address, jobs, observer
        As in `run`.

    Raises
    ------
    ExplorerError
        If the configuration is not in the space, a stage fails, or anything cannot be used.
    """
    from explorer.inputs import external
    from explorer.line import trial
    from explorer.search import search
    from explorer.space.space import load
    from explorer.workspace import holding
    from explorer.workspace.records import Records
    from explorer.workspace.workspace import Workspace

    where, place, searched = search.Where(engine, address, jobs), Workspace(Path(workspace)), load(Path(space))
    wanted = searched.configuration(configuration)
    with (
        _observed(observer, f"{searched.name}: one configuration") as told,
        holding.held(place, told.note),
        Records(place.url).led(told.note) as records,
        search.engine_of(searched, place, records, external.find(searched, place), told, where) as running,
    ):
        outcome = trial.run(wanted, searched.settings, running)
    if isinstance(outcome, Failure):
        raise ExplorerError(f"{outcome.stage} failed ({outcome.kind}): {outcome.message}")
    return dict(outcome.values)


def tune_space(space: Path | str) -> Callable[[BaseTrial], dict[str, Any]]:
    """Return `space` as Ray Tune's `OptunaSearch` takes it; a trial's ``config["configuration"]`` is one to `evaluate`.

    Raises
    ------
    SpaceError
        If the space cannot be used; devices need no entry.
    """
    from explorer.space.space import load

    return partial(_suggested, load(Path(space), to_run=False))  # which Ray can pickle


def _suggested(space: Space, trial: BaseTrial) -> dict[str, Any]:
    return {"configuration": space.suggest(trial).as_dict()}


def plan(space: Path | str, workspace: Path | str = DEFAULT_WORKSPACE, *, shard: str = "1/1") -> Plan:
    """Return what `grid` would have to execute, and how long that takes by what is on record in the workspace.

    Raises
    ------
    ExplorerError
        If the space or the shard cannot be used; devices need no entry.
    """
    from explorer.search import grid, planning
    from explorer.space.space import load
    from explorer.workspace.records import Records
    from explorer.workspace.workspace import Workspace

    whole, place = load(Path(space), to_run=False).whole, Workspace(Path(workspace))
    records = Records(place.url) if place.has_studies else None
    return planning.plan(whole, grid.Shard.parse(shard).configurations(whole), records)


@contextlib.contextmanager
def _observed(observer: Observer | None, title: str) -> Iterator[Observer]:
    """Give `observer` or, unless there is one, what shows progress on the terminal, under a title."""
    if observer is not None:
        yield observer
        return
    from rich.console import Console

    from explorer.results.progress import Progress

    console = Console(highlight=False)
    console.print(title)
    with Progress(console) as progress:
        yield progress


def count(space: Path | str) -> tuple[StageCount, ...]:
    """Return how often each stage is executed if all of `space` is tried: by every configuration alone and by all.

    Raises
    ------
    SpaceError
        If the space cannot be used, or has a continuous axis; devices need no entry.
    """
    from explorer.line import dry_run
    from explorer.space.space import load

    return dry_run.count(load(Path(space), to_run=False))


def frame(workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> pd.DataFrame:
    """Return one row per finished trial of `study`, by default of the study that finished a trial last.

    Accuracies are shares in [0, 1], latencies milliseconds, sizes bytes.

    Raises
    ------
    WorkspaceError
        If the workspace has no such study.
    """
    records, name = study_records(workspace, study)
    return records.frame(name)


def front(
    workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None, device: str | None = None
) -> pd.DataFrame:
    """Return the trials that no other on the same device dominates in the study's objectives, the best first.

    Trials that break a limit of the study's latest run are not among them.

    Raises
    ------
    ExplorerError
        If no trial has run on `device`.
    """
    from explorer.results import pareto

    trials = _frame_of(device, workspace, study)
    return pareto.front(trials, objectives(workspace, study), study_limits(workspace, study))


def nearest(
    workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None, device: str | None = None
) -> pd.DataFrame:
    """Return, for each device on which no trial keeps the limits, the one that breaks them least; see `front`."""
    from explorer.results import pareto

    return pareto.nearest(_frame_of(device, workspace, study), study_limits(workspace, study))


def _frame_of(device: str | None, workspace: Path | str, study: str | None) -> pd.DataFrame:
    """Return the trials on `device`, or all of them."""
    trials = frame(workspace, study)
    if device is None:
        return trials
    devices = sorted(trials["device"].unique())
    if device not in devices:
        raise ExplorerError(f"no trial has run on device '{device}'{did_you_mean(device, devices)}")
    return trials[trials["device"] == device]


def layers(trial: int, workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> list[dict[str, Any]]:
    """Return the compiled network's account: per layer its shapes, what was asked, what ran and why they differ.

    It is empty for a trial that failed, and where the artifact is gone.
    """
    from explorer.workspace.store import Store
    from explorer.workspace.workspace import Workspace

    records, name = study_records(workspace, study)
    outcome = records.outcome(name, trial)
    key = None if outcome is None or isinstance(outcome, Failure) else outcome.values["build_key"]
    built = key and Store(Workspace(Path(workspace)).artifacts).find("build", key)
    account: list[dict[str, Any]] = json.loads((built.path / LAYERS).read_text()) if built else []
    return account


def best(
    latency_ms: float,
    device: str | None = None,
    min_accuracy: float | None = None,
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
) -> Best:
    """Return the most accurate stack whose median latency on `device` is at most `latency_ms`.

    Parameters
    ----------
    device
        May be left out where the study has one.
    min_accuracy
        Share of the validation images below which no stack is an answer.
    """
    from explorer.results import report

    trials = frame(workspace, study)
    devices = sorted(trials["device"].unique())
    if device is None and len(devices) > 1:
        raise ExplorerError(f"the study has several devices: {', '.join(devices)}; choose one with --device")
    return report.best(trials, device or devices[0], latency_ms, min_accuracy)


def figure(
    path: Path | str,
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    latency_ms: float | None = None,
) -> Path:
    """Write the accuracy/latency fronts of every device as one HTML page that works offline, and return its path."""
    from explorer.results import figures

    records, name = study_records(workspace, study)
    drawn = figures.fronts(records.frame(name), name, latency_ms, study_limits(workspace, study))
    figures.write(drawn, Path(path))
    return Path(path)


def objectives(workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> Mapping[str, Direction]:
    """Return quantity → direction, as the study was started with."""
    return dict(_attributes(workspace, study)["question"]["objectives"])


def study_limits(workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> tuple[Limit, ...]:
    """Return the bounds on measured quantities that the study's latest run was given."""
    from explorer.space.limits import Limit

    return tuple(Limit.parse(text) for text in _attributes(workspace, study).get("limits", ()))


def _attributes(workspace: Path | str, study: str | None) -> dict[str, Any]:
    """Return what a run notes of its space in the Optuna study; see `explorer.search.study`."""
    import optuna

    from explorer.workspace.workspace import Workspace

    _, name = study_records(workspace, study)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.load_study(study_name=name, storage=Workspace(Path(workspace)).url).user_attrs


def study_records(workspace: Path | str = DEFAULT_WORKSPACE, study: str | None = None) -> tuple[Records, str]:
    """Return the records of a workspace and the name of `study` in it, by default that of the latest one.

    Raises
    ------
    WorkspaceError
        If the workspace has no such study, or none with a finished trial.
    """
    import sqlalchemy as sa

    from explorer.workspace.records import Records
    from explorer.workspace.workspace import Workspace

    place = Workspace(Path(workspace)).must_exist()
    try:
        records = Records(place.url)
        studies = records.studies()
    except sa.exc.DatabaseError as error:
        raise WorkspaceError(f"'{place.database}' is no study's database: {error.orig}") from None
    if not studies:
        raise WorkspaceError(f"no trial has finished yet in workspace '{place.root}'")
    if study is not None and study not in studies:
        raise WorkspaceError(f"no study '{study}' in workspace '{place.root}'{did_you_mean(study, studies)}")
    return records, study or studies[0]
