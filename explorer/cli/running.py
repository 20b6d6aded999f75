"""Arguments of the commands that run studies → one call each, and how it ended."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import explorer
from explorer.cli.terminal import WORKSPACE, InWorkspace, OfStudy, print_each, print_json, print_parts
from explorer.core.errors import ExplorerError

# Tables and all else that takes long to import is imported where it is used: `dlas --help` answers at once.
if TYPE_CHECKING:
    from explorer.search.search import Summary

OnEngine = Annotated[str, typer.Option("--engine", help="Where stages run: local, or ray for a Ray cluster.")]
AtAddress = Annotated[
    str | None, typer.Option("--address", help="Head of the Ray cluster, host:port; this machine alone if not given.")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", help="Trainings at once, and compilations beside them; by this machine's cores and GPUs if not given."
    ),
]
InDatabase = Annotated[
    str | None,
    typer.Option("--database", help="SQLAlchemy URL of the studies' database; a file in the workspace if not given."),
]


def run(
    space: Annotated[str, typer.Argument(help="A search-space file, or the name of a bundled one such as quickstart.")],
    workspace: InWorkspace = WORKSPACE,
    trials: Annotated[int | None, typer.Option(help="Number of trials, instead of the file's.")] = None,
    sampler: Annotated[str | None, typer.Option(help="How to search, instead of the file's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampler, instead of the file's.")] = None,
    engine: OnEngine = "local",
    address: AtAddress = None,
    jobs: Jobs = None,
    database: InDatabase = None,
) -> None:
    """Search a space; the same command goes on with a study that was interrupted."""
    with _resumable():
        summary = explorer.run(
            space,
            workspace,
            trials=trials,
            sampler=sampler,
            seed=seed,
            engine=engine,
            address=address,
            jobs=jobs,
            database=database,
        )
    _print_summary(summary, workspace)


def grid(
    space: Annotated[str, typer.Argument(help="A search-space file, or the name of a bundled one such as quickstart.")],
    workspace: InWorkspace = WORKSPACE,
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n equal parts of the grid.")] = "1/1",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan only: what is left, and its time.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as JSON; with --dry-run.")] = False,
    engine: OnEngine = "local",
    address: AtAddress = None,
    jobs: Jobs = None,
    database: InDatabase = None,
) -> None:
    """Evaluate every configuration of a space, after a plan; the same command goes on with an interrupted grid."""
    if as_json and not dry_run:
        raise ExplorerError("--json prints the plan alone: add --dry-run")
    plan = explorer.plan(space, workspace, shard=shard, jobs=jobs)
    if as_json:
        return print_json(asdict(plan))
    from explorer.results import space_tables

    print_parts(space_tables.plan_table(plan))
    if dry_run:
        return None
    with _resumable():
        summary = explorer.grid(
            space, workspace, shard=shard, engine=engine, address=address, jobs=jobs, database=database
        )
    return _print_summary(summary, workspace)


def measure(
    trials: Annotated[list[int], typer.Argument(help="Numbers of complete trials.")],
    sessions: Annotated[int, typer.Option(min=1, help="How many to add to each.")] = 1,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    space: Annotated[
        str | None, typer.Option(help="The study's search-space file, if it is no longer where it was.")
    ] = None,
    engine: OnEngine = "local",
    address: AtAddress = None,
) -> None:
    """Measure trials again, in sessions that add to what is on record of their latencies."""
    rows = explorer.measure(trials, workspace, study, sessions=sessions, space=space, engine=engine, address=address)
    from explorer.results import tables

    print_parts(tables.latencies_table(rows))


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    """Exit with 130 when the user interrupts a run; the same command goes on with it."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None


def _print_summary(summary: Summary, workspace: Path) -> None:
    from explorer.results import tables

    in_workspace = "" if workspace == WORKSPACE else f" --workspace {shlex.quote(str(workspace))}"
    with explorer.open(workspace, summary.study) as opened:
        print_each(tables.summary_text(summary, opened, opened.figure(), in_workspace))


COMMANDS: tuple[Callable[..., None], ...] = (run, grid, measure)  # in the help's order
