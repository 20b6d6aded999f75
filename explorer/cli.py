"""Arguments → one call into the API, and what it returns printed as tables or JSON."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import explorer
from explorer.core.errors import ExplorerError

# Tables, pandas and all else that takes long to import is imported where it is used: `dlas --help` answers at once.
if TYPE_CHECKING:
    from rich.console import RenderableType

    from explorer.line.dry_run import StageCount
    from explorer.search.search import Summary

PIPED_WIDTH = 200  # a table in a file or pipe shall not be folded into 80 columns

app = typer.Typer(
    name="dlas",
    help="Find the best deep-learning stack: model, compression, algorithm, compiler and hardware at once.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

InWorkspace = Annotated[Path, typer.Option("--workspace", "-w", help="Folder of the study and its artifacts.")]
OfStudy = Annotated[
    str | None, typer.Option("--study", help="Name of the study; the latest of the workspace if not given.")
]
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
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
WORKSPACE = Path(explorer.DEFAULT_WORKSPACE)


@app.command()
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


@app.command()
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
    plan = explorer.plan(space, workspace, shard=shard)
    if as_json:
        return _print_json(asdict(plan))
    from explorer.results import space_tables

    _print(space_tables.plan_table(plan))
    if dry_run:
        return None
    with _resumable():
        summary = explorer.grid(
            space, workspace, shard=shard, engine=engine, address=address, jobs=jobs, database=database
        )
    return _print_summary(summary, workspace)


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
        _print_each(tables.summary_text(summary, opened, opened.figure(), in_workspace))


@app.command()
def best(
    latency_ms: Annotated[float, typer.Option("--latency-ms", min=0, help="Budget for the median latency.")],
    device: Annotated[str | None, typer.Option(help="Device; may be left out where the study has one.")] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least validation accuracy, as a share such as 0.95.")
    ] = None,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    as_json: AsJson = False,
) -> None:
    """Print the most accurate stack within a latency budget; exit with 1 where none fits."""
    answer = explorer.best(latency_ms, device, min_accuracy, workspace, study)
    if as_json:
        _print_json(answer.as_dict())
    else:
        from explorer.results import tables

        _print(tables.best_text(answer))
    if answer.stack is None:
        raise typer.Exit(1)


@app.command()
def front(
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    device: Annotated[str | None, typer.Option(help="This device alone.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write the fronts as an HTML page, too.")] = None,
    latency_ms: Annotated[float | None, typer.Option(min=0, help="Budget to draw in the page.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the stacks that no other on the same device dominates."""
    from explorer.results import export, tables

    with explorer.open(workspace, study) as opened:
        front = opened.front(device)
        if figure is not None:
            opened.figure(figure, latency_ms)
        if as_json:
            _print_json(export.rows(front))
        else:
            _print(tables.fronts_table(front, opened.nearest(device), opened.limits))


@app.command()
def status(workspace: InWorkspace = WORKSPACE, study: OfStudy = None, as_json: AsJson = False) -> None:
    """Print how far a study is, what failed and why, what the stages have cost and what tuning changes in the order."""
    from explorer.results import tables

    with explorer.open(workspace, study) as opened:
        found = opened.status()
    if as_json:
        _print_json(found.as_dict())
    else:
        _print(tables.status_text(found))


@app.command()
def show(
    trial: Annotated[int, typer.Argument(help="Number of the trial.")],
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    as_json: AsJson = False,
) -> None:
    """Print all that is on record of one trial, and what was asked of each layer of it and what ran."""
    from explorer.results import tables

    with explorer.open(workspace, study) as opened:
        found = opened.trial(trial)
    if as_json:
        _print_json(found.as_dict())
    else:
        _print_each(tables.trial_text(found))


@app.command()
def export(
    format: Annotated[Literal["csv", "parquet"], typer.Option(help="Format of the table.")] = "csv",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; CSV goes to standard output.")] = None,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
) -> None:
    """Write all finished trials as a table."""
    from explorer.results import export

    if format == "csv":
        return export.to_csv(explorer.frame(workspace, study), output or sys.stdout)
    if output is None:
        raise ExplorerError("parquet needs a file: --output trials.parquet")
    return export.to_parquet(explorer.frame(workspace, study), output)


@app.command()
def spaces(
    space: Annotated[
        str | None, typer.Argument(help="A search-space file, or the name of a bundled one: what it asks for.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the bundled search spaces; or of one space its axes, its size and how often each stage is executed."""
    from explorer.line import dry_run
    from explorer.results import export, space_tables
    from explorer.space import space_file
    from explorer.space.space import load

    if space is None:
        bundled = [load(path, to_run=False) for path in space_file.bundled()]
        if as_json:
            return _print_json([export.space_row(each) for each in bundled])
        return _print(space_tables.spaces_table(bundled))
    found = load(Path(space), to_run=False)

    def stages() -> Sequence[StageCount] | None:
        return None if found.continuous else dry_run.count(found)

    if as_json:
        return _print_json(export.whole_space(found, stages()))
    return _print_each(space_tables.space_text(found, stages))


@app.command()
def devices(
    file: Annotated[Path | None, typer.Option(help="Devices file; the bundled one if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the devices that a search space may name."""
    from explorer.results import space_tables
    from explorer.space import space_file
    from explorer.space.devices import load

    if file is not None and not file.exists():
        raise ExplorerError(f"{file}: no such file")
    found = list(load(file or space_file.BUNDLED / space_file.DEVICES_FILE).values())
    if as_json:
        _print_json([device.model_dump() for device in found])
    else:
        _print(space_tables.devices_table(found))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that the user can mend is one line and exit code 2."""
    try:
        app(arguments)
    except ExplorerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _print(*parts: RenderableType) -> None:
    _print_each(parts)


def _print_each(parts: Iterable[RenderableType]) -> None:
    """Print each part as soon as there is one; a line of text stays whole, however wide the terminal is."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str | Text))


def _print_json(value: object) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))
