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
from explorer.cli.terminal import (
    WORKSPACE,
    AsJson,
    InWorkspace,
    OfStudy,
    print_each,
    print_json,
    print_json_error,
    print_parts,
    progress,
)

# Tables and all else that takes long to import is imported where it is used: `dlas --help` answers at once.
if TYPE_CHECKING:
    from explorer.search.search import Observer, Summary

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
    as_json: AsJson = False,
) -> None:
    """Search a space; the same command goes on with a study that was interrupted."""
    with _resumable("run", as_json) as observer:
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
            observer=observer,
        )
    if as_json:
        print_json("run", _summary(summary, workspace))
    else:
        _print_summary(summary, workspace)
    _exit(summary)


def grid(
    space: Annotated[str, typer.Argument(help="A search-space file, or the name of a bundled one such as quickstart.")],
    workspace: InWorkspace = WORKSPACE,
    shard: Annotated[str, typer.Option(help="i/n: the i-th of n equal parts of the grid.")] = "1/1",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan only: what is left, and its time.")
    ] = False,
    engine: OnEngine = "local",
    address: AtAddress = None,
    jobs: Jobs = None,
    database: InDatabase = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate every configuration of a space, after a plan; the same command goes on with an interrupted grid."""
    from explorer.results.tables import space_tables

    plan = explorer.plan(space, workspace, shard=shard, jobs=jobs)
    if not as_json:
        print_parts(space_tables.plan_table(plan))
    summary = None
    if not dry_run:
        with _resumable("grid", as_json) as observer:
            summary = explorer.grid(
                space,
                workspace,
                shard=shard,
                engine=engine,
                address=address,
                jobs=jobs,
                database=database,
                observer=observer,
            )
    if as_json:
        ended = summary and _summary(summary, workspace)
        print_json("grid", {"plan": asdict(plan), "ended": ended})
    elif summary is not None:
        _print_summary(summary, workspace)
    if summary is not None:
        _exit(summary)


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
    as_json: AsJson = False,
) -> None:
    """Measure trials again, in sessions that add to what is on record of their latencies."""
    from explorer.results import export
    from explorer.results.tables import study_tables

    with progress(as_json) as observer:
        rows = explorer.measure(
            trials, workspace, study, sessions=sessions, space=space, engine=engine, address=address, observer=observer
        )
    if as_json:
        return print_json("measure", {"trials": export.rows(rows)})
    return print_parts(study_tables.latencies_table(rows))


@contextlib.contextmanager
def _resumable(command: str, as_json: bool) -> Iterator[Observer | None]:
    """Give what shows progress; exit with 130 when the user interrupts a run, which the same command goes on with."""
    try:
        with progress(as_json) as observer:
            yield observer
    except KeyboardInterrupt:
        message = "interrupted; the same command goes on from here"
        if as_json:
            print_json_error(command, message)
        print(message, file=sys.stderr)
        raise typer.Exit(130) from None


def _summary(summary: Summary, workspace: Path) -> dict[str, object]:
    """Return how a run ended as plain values, with the fronts and the page, or null where nothing is on record."""
    from explorer.results import plain

    if not summary.ended:
        return {**asdict(summary), "front": None}
    with explorer.open(workspace, summary.study) as opened:
        front = plain.front(opened, opened.front_with_ties(), opened.nearest(), None, opened.figure())
    return {**asdict(summary), "front": front}


def _print_summary(summary: Summary, workspace: Path) -> None:
    from explorer.results.tables import study_tables

    in_workspace = "" if workspace == WORKSPACE else f" --workspace {shlex.quote(str(workspace))}"
    if summary.ended:
        with explorer.open(workspace, summary.study) as opened:
            print_each(study_tables.summary_text(summary, opened, opened.figure(), in_workspace))
    print_each(study_tables.unfinished_text(summary))


def _exit(summary: Summary) -> None:
    """Exit with 1 where trials are left to the next run."""
    if summary.unfinished:
        raise typer.Exit(1)


COMMANDS: tuple[Callable[..., None], ...] = (run, grid, measure)  # in the help's order
