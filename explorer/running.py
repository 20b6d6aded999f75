"""A search space → its study run, its grid executed, or one configuration evaluated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.core.errors import ExplorerError, Failure
from explorer.reading import DEFAULT_WORKSPACE

# Everything else is imported where it is used: `import explorer` and `dlas --help` answer at once.
if TYPE_CHECKING:
    import pandas as pd

    from explorer.search.search import Observer, Summary


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
        Hears how the study goes; progress is shown on the terminal unless it is given.

    Raises
    ------
    ExplorerError
        If the space, the workspace or a device cannot be used.
    """
    from explorer.results.progress.live import observed
    from explorer.search import search
    from explorer.space.space import load
    from explorer.workspace.workspace import Workspace

    where = search.Where(engine, address, jobs)
    searched = load(space).searched(sampler, trials, seed)
    with observed(
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
    from explorer.results.progress.live import observed
    from explorer.search import search
    from explorer.search.grids import grid
    from explorer.space.space import load
    from explorer.workspace.workspace import Workspace

    where = search.Where(engine, address, jobs)
    whole, part = load(space).whole, grid.Shard.parse(shard)
    with observed(observer, f"{whole.name}: {part.size(whole):,} of {whole.size}") as told:
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

    It becomes no trial of the study. Stages and measurements that the workspace has are not computed again, and later
    studies find those that are computed now.

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
    from explorer.line.trials import trial
    from explorer.results.progress.live import observed
    from explorer.search import search
    from explorer.space.space import load
    from explorer.workspace import holding
    from explorer.workspace.workspace import Workspace

    where, place, searched = search.Where(engine, address, jobs), Workspace(Path(workspace)), load(space)
    wanted = searched.configuration(configuration)
    with (
        observed(observer, f"{searched.name}: one configuration") as told,
        holding.opened(place, told.note) as records,
        search.engine_of(searched, place, records, external.find(searched, place), told, where) as running,
    ):
        outcome = trial.run(wanted, searched.settings, running)
    if isinstance(outcome, Failure):
        raise ExplorerError(f"{outcome.stage} failed ({outcome.kind}): {outcome.message}")
    return dict(outcome.values)


def measure(
    trials: Sequence[int],
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    *,
    sessions: int = 1,
    space: Path | str | None = None,
    engine: str = "local",
    address: str | None = None,
    observer: Observer | None = None,
) -> pd.DataFrame:
    """Add `sessions` of measuring to each of `trials`, in turns, and return their rows with what all sessions tell.

    The latencies of other trials may change, too: each session tells of the device.

    Parameters
    ----------
    trials
        Numbers of complete trials of `study`, by default of the study that finished a trial last.
    space
        The search-space file; the one of the study's latest run unless given.
    engine, address, observer
        As in `run`.

    Raises
    ------
    ExplorerError
        If there is no such trial, or it cannot be measured again.
    """
    from explorer.inputs import external
    from explorer.reading import open as opened
    from explorer.results.progress.live import observed
    from explorer.search import refinement, renewal, search
    from explorer.space.space import load
    from explorer.workspace import holding
    from explorer.workspace.workspace import Workspace

    if sessions < 1:
        raise ExplorerError(f"sessions {sessions} is below 1")
    with opened(workspace, study) as found:
        name, path = found.name, space or found.space_file
        for trial in trials:
            if (state := found.trial(trial).row["state"]) != "complete":
                raise ExplorerError(f"trial {trial} is {state} and has no latency to measure again")
    where, place, searched = search.Where(engine, address), Workspace(Path(workspace)), load(path)
    if searched.name != name:
        raise ExplorerError(f"{searched.path} is the space of study '{searched.name}', not of '{name}'")
    with (
        observed(observer, f"{name}: {len(trials)} trials, {sessions} more sessions each") as told,
        holding.opened(place, told.note) as records,
        search.engine_of(searched, place, records, external.find(searched, place), told, where) as running,
    ):
        renewal.renew(searched, records, running, told, trials)
        refinement.add_sessions(searched, records, running, told, trials, sessions)
        rows = records.frame(name)
    return rows[rows["number"].isin(list(trials))]
