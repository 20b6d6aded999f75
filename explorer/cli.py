"""Arguments → one call into the line, or one question to the records."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import explorer
from explorer.core.errors import ExplorerError, Failure

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, RenderableType

    from explorer.search.search import Summary
    from explorer.space.axes import Choice
    from explorer.space.space import Space

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
        _print_json(asdict(plan))
        return
    from explorer.results import tables

    _print(tables.plan_table(plan))
    if dry_run:
        return
    with _resumable():
        summary = explorer.grid(
            space, workspace, shard=shard, engine=engine, address=address, jobs=jobs, database=database
        )
    _print_summary(summary, workspace)


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    """Exit with 130 when the user interrupts what another such command goes on with."""
    try:
        yield
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        raise typer.Exit(130) from None


def _print_summary(summary: Summary, workspace: Path) -> None:
    from explorer.workspace.workspace import Workspace

    console = _console()
    page = explorer.figure(Workspace(workspace).figure(summary.study), workspace, summary.study)
    stacks = explorer.front(workspace, summary.study)
    console.print(_fronts(stacks, workspace, summary.study))
    failed = f", {summary.failed} failed" if summary.failed else ""
    skipped = f", {summary.skipped} not trained" if summary.skipped else ""
    ended = summary.complete + summary.failed + summary.skipped
    console.print(f"{ended} trials{failed}{skipped}; the fronts as a page: {page}", soft_wrap=True)
    if summary.exhausted:
        console.print("every configuration of the space has been tried")
    console.print(f"next: {_next_command(stacks, workspace)}", soft_wrap=True)


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
    rows = explorer.front(workspace, study, device)
    if figure is not None:
        explorer.figure(figure, workspace, study, latency_ms)
    if as_json:
        _print_json(_rows(rows))
    else:
        _print(_fronts(rows, workspace, study, device))


@app.command()
def status(workspace: InWorkspace = WORKSPACE, study: OfStudy = None, as_json: AsJson = False) -> None:
    """Print how far a study is, what failed and why, what the stages have cost and what tuning changes in the order."""
    from explorer.results import report, tables
    from explorer.search.successive_halving import Finished

    records, name = explorer.study_records(workspace, study)
    frame, executions = records.frame(name), records.executions()
    failures, skipped = report.failures(frame), report.failures(frame, "skipped")
    ranks = report.ranks([Finished(number, axes, record.values) for number, axes, record in records.complete(name)])
    if as_json:
        stages = executions.groupby("stage")["seconds"].agg(["count", "sum"]).to_dict("index")
        totals = {"study": name, **records.count(name)._asdict()}
        tuning = [asdict(each) for each in ranks]
        _print_json({**totals, "failures": _rows(failures), "stages": stages, "tuning": tuning})
    else:
        _print(tables.status_table(name, frame, failures, skipped, executions))
        if ranks:
            _print(tables.ranks_table(ranks))


@app.command()
def show(
    trial: Annotated[int, typer.Argument(help="Number of the trial.")],
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    as_json: AsJson = False,
) -> None:
    """Print all that is on record of one trial, and what was asked of each layer of it and what ran."""
    records, name = explorer.study_records(workspace, study)
    frame = records.frame(name)
    found = frame[frame["number"] == trial]
    if found.empty:
        raise ExplorerError(f"study '{name}' has no finished trial {trial}; its last is {frame['number'].max()}")
    (row,) = _rows(found)
    layers = explorer.layers(trial, workspace, name)
    outcome = records.outcome(name, trial)
    log = outcome.log if isinstance(outcome, Failure) else ""
    if as_json:
        _print_json({**row, "layers": layers, "log": log})
        return
    from explorer.results import tables

    _print(tables.trial_table(row))
    _print(tables.costs_table(row))
    if layers:
        _print(tables.layers_table(layers))
    if log:
        print(log)


@app.command()
def export(
    format: Annotated[Literal["csv", "parquet"], typer.Option(help="Format of the table.")] = "csv",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; CSV goes to standard output.")] = None,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
) -> None:
    """Write all finished trials as a table."""
    if output is None and format == "parquet":
        raise ExplorerError("parquet needs a file: --output trials.parquet")
    from explorer.space.axes import WORDS

    frame = explorer.frame(workspace, study)
    try:
        if format == "parquet":
            # Parquet knows one type a column: numbers beside a word, such as channel multiples, become text.
            mixed = [axis for axis in WORDS if any(isinstance(value, str) for value in frame[axis])]
            frame.astype(dict.fromkeys(mixed, "string")).to_parquet(output, index=False)
        else:
            frame.to_csv(output or sys.stdout, index=False)
    except OSError as error:
        raise ExplorerError(f"cannot write '{output}': {error.strerror}") from error


@app.command()
def spaces(
    space: Annotated[
        str | None, typer.Argument(help="A search-space file, or the name of a bundled one: what it asks for.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the bundled search spaces; or of one space its axes, its size and how often each stage is executed."""
    from explorer.results import tables
    from explorer.space import space_file
    from explorer.space.space import load

    if space is not None:
        _print_space(load(Path(space), to_run=False), as_json)
        return
    found = [load(path, to_run=False) for path in space_file.bundled()]
    if as_json:
        _print_json([_space_row(each) for each in found])
    else:
        _print(tables.spaces_table(found))


@app.command()
def devices(
    file: Annotated[Path | None, typer.Option(help="Devices file; the bundled one if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the devices that a search space may name."""
    from explorer.results import tables
    from explorer.space import space_file
    from explorer.space.devices import load

    if file is not None and not file.exists():
        raise ExplorerError(f"{file}: no such file")
    found = list(load(file or space_file.BUNDLED / space_file.DEVICES_FILE).values())
    if as_json:
        _print_json([device.model_dump() for device in found])
    else:
        _print(tables.devices_table(found))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; an error that the user can mend is one line and exit code 2."""
    try:
        app(arguments)
    except ExplorerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _fronts(stacks: pd.DataFrame, workspace: Path, study: str | None, device: str | None = None) -> RenderableType:
    """Return the fronts' `stacks` as a table and, of devices where none keeps the limits, the nearest."""
    from explorer.results import tables

    nearest = explorer.nearest(workspace, study, device)
    return tables.fronts_table(stacks, nearest, explorer.study_limits(workspace, study))


def _next_command(stacks: pd.DataFrame, workspace: Path) -> str:
    """Return what to type after a run: the best stack within the latency of the front's middle, or what went wrong."""
    where = "" if workspace == WORKSPACE else f" --workspace {shlex.quote(str(workspace))}"
    if stacks.empty:
        return f"dlas status{where}"
    middle = stacks.sort_values("latency_ms").iloc[len(stacks) // 2]
    return f"dlas best --device {middle['device']} --latency-ms {middle['latency_high_ms']:.2g}{where}"


def _print_space(space: Space, as_json: bool) -> None:
    from explorer.line import dry_run
    from explorer.results import tables

    if not as_json:
        _print(tables.space_table(space))  # at once: to count the stages of a large grid takes a while
    stages = None if space.continuous else dry_run.count(space)
    if as_json:
        axes = {name: [_choice(choice) for choice in axis.choices] for name, axis in space.axes.items()}
        counts = None if stages is None else [asdict(each) for each in stages]
        _print_json({**_space_row(space), "axes": axes, "missing_devices": space.missing_devices, "stages": counts})
    elif stages is None:
        print(f"stages are not counted: axis {space.continuous[0]} is continuous; give its range a step to count them")
    else:
        _print(tables.stages_table(stages))


def _space_row(space: Space) -> dict[str, Any]:
    return {
        "name": space.name,
        "configurations": space.count,
        "continuous": space.continuous,
        "sampler": space.sampler,
        "trials": space.trials,
        "devices": space.axes["device"].choices,
        "objectives": dict(space.objectives),
        "limits": [str(limit) for limit in space.limits],
        "file": str(space.path),
    }


def _choice(choice: Choice) -> Any:
    """Return a choice as a plain value; a continuous range as its bounds."""
    return asdict(choice) if is_dataclass(choice) else choice


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def _print(what: RenderableType) -> None:
    _console().print(what)


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, allow_nan=False))


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain values; a gap is None, and whole numbers in a column with gaps stay whole."""
    text = frame.convert_dtypes().to_json(orient="records", double_precision=15)
    rows: list[dict[str, Any]] = json.loads(text)
    return rows
