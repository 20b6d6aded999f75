"""A search space → its plan, its counts and its form for Ray Tune; nothing is run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.reading import DEFAULT_WORKSPACE

# Everything else is imported where it is used: `import explorer` and `dlas --help` answer at once.
if TYPE_CHECKING:
    from optuna.trial import BaseTrial

    from explorer.line.trials.dry_run import StageCount
    from explorer.search.grids.planning import Plan
    from explorer.space.space import Space


def plan(
    space: Path | str, workspace: Path | str = DEFAULT_WORKSPACE, *, shard: str = "1/1", jobs: int | None = None
) -> Plan:
    """Return what `grid` would have to execute, and how long that takes by what is on record in the workspace.

    Raises
    ------
    ExplorerError
        If the space, the shard or the jobs cannot be used; devices need no entry.
    """
    from explorer.search.grids import grid, planning
    from explorer.search.search import Where
    from explorer.space.space import load
    from explorer.workspace.database.records import Records
    from explorer.workspace.workspace import Workspace

    whole, place = load(space, to_run=False).whole, Workspace(Path(workspace))
    records = Records(place.url) if place.has_studies else None
    configurations = grid.Shard.parse(shard).configurations(whole)
    return planning.plan(whole, configurations, records, Where(jobs=jobs).jobs)


def count(space: Path | str) -> tuple[StageCount, ...]:
    """Return how often each stage is executed if all of `space` is tried: by every configuration alone and by all.

    Raises
    ------
    SpaceError
        If the space cannot be used, or has a continuous axis; devices need no entry.
    """
    from explorer.line.trials import dry_run
    from explorer.space.space import load

    return dry_run.count(load(space, to_run=False))


def tune_space(space: Path | str) -> Callable[[BaseTrial], dict[str, Any]]:
    """Return `space` as Ray Tune's `OptunaSearch` takes it; a trial's ``config["configuration"]`` is one to `evaluate`.

    Raises
    ------
    SpaceError
        If the space cannot be used; devices need no entry.
    """
    from explorer.space.space import load

    return partial(_suggested, load(space, to_run=False))  # Ray can pickle it


def _suggested(space: Space, trial: BaseTrial) -> dict[str, Any]:
    return {"configuration": space.suggest(trial).as_dict()}
