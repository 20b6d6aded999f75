"""Arguments of the commands that read studies → one call each, and what it returns as tables or JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

import explorer
from explorer.cli.terminal import (
    WORKSPACE,
    AsJson,
    InWorkspace,
    OfStudy,
    WithEmulated,
    document,
    print_each,
    print_json,
    print_parts,
)
from explorer.core.errors import ExplorerError

# Tables, pandas and all else that takes long to import is imported where it is used: `dlas --help` answers at once.


def best(
    latency_ms: Annotated[
        float | None, typer.Option("--latency-ms", min=0, help="Budget for the median latency.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Device, or several as a+b; may be left out where the study has one.")
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least validation accuracy, as a share such as 0.95.")
    ] = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Most accuracy to lose against the uncompressed network, as a share such as 0.01, or most of a metric "
            "of your own."
        ),
    ] = None,
    speed_up: Annotated[
        float | None, typer.Option(help="Least times as fast as the uncompressed network, such as 2.")
    ] = None,
    metric_bound: Annotated[
        float | None,
        typer.Option(help="Least value, or most where it is minimised, of a metric of your own, such as 0.6."),
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Least probability of being fast enough, such as 0.95.")
    ] = None,
    emulated: WithEmulated = False,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    as_json: AsJson = False,
) -> None:
    """Print the most accurate stack that is fast enough, or the fastest where any is; exit with 1 where none fits."""
    answer = explorer.best(
        latency_ms, device, min_accuracy, workspace, study, confidence, emulated, max_drop, speed_up, metric_bound
    )
    if as_json:
        print_json("best", answer.as_dict())
    else:
        from explorer.results.tables import best_tables

        print_parts(best_tables.best_text(answer))
    if answer.stack is None:
        raise typer.Exit(1)


def front(
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    device: Annotated[str | None, typer.Option(help="This device alone.")] = None,
    figure: Annotated[Path | None, typer.Option(help="Write the fronts as an HTML page, too.")] = None,
    latency_ms: Annotated[float | None, typer.Option(min=0, help="Budget to draw in the page.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Print what their stacks cost on other devices.")] = False,
    emulated: WithEmulated = False,
    as_json: AsJson = False,
) -> None:
    """Print the stacks that no other on the same device dominates, and those that intervals cannot tell apart."""
    from explorer.results import plain
    from explorer.results.across_devices import comparison_tables
    from explorer.results.measured_on import warnings
    from explorer.results.tables import study_tables

    with explorer.open(workspace, study) as opened:
        rows = opened.front_with_ties(device)
        nearest = opened.nearest(device)
        compared = opened.compare(device, emulated) if compare else None
        if figure is not None:
            opened.figure(figure, latency_ms, emulated)
        if as_json:
            print_json("front", plain.front(opened, rows, nearest, compared, figure))
        elif compared is not None:
            print_each(comparison_tables.comparison_text(compared))
        else:
            print_parts(study_tables.fronts_table(rows, nearest, opened.limits, opened.objectives))
            print_each(warnings(opened.devices))


def status(workspace: InWorkspace = WORKSPACE, study: OfStudy = None, as_json: AsJson = False) -> None:
    """Print how far a study is, what failed and why, what the stages have cost and what tuning changes in the order."""
    from explorer.results.tables import study_tables

    with explorer.open(workspace, study) as opened:
        found = opened.status()
    if as_json:
        print_json("status", found.as_dict())
    else:
        print_parts(study_tables.status_text(found))


def show(
    trial: Annotated[int, typer.Argument(help="Number of the trial.")],
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    as_json: AsJson = False,
) -> None:
    """Print all that is on record of one trial, and what was asked of each layer of it and what ran."""
    from explorer.results.tables import study_tables

    with explorer.open(workspace, study) as opened:
        found = opened.trial(trial)
    if as_json:
        print_json("show", found.as_dict())
    else:
        print_each(study_tables.trial_text(found))


def export(
    format: Annotated[
        Literal["csv", "parquet", "json"] | None, typer.Option(help="Format of the table; csv if not given.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; CSV and JSON go to standard output if not given.")
    ] = None,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON: with --output what was written, else the table.")
    ] = False,
) -> None:
    """Write all finished trials as a table."""
    from explorer.results import export

    chosen = format or ("json" if as_json and output is None else "csv")
    if output is None and as_json and chosen != "json":
        raise ExplorerError(
            f"--json and {chosen} cannot both go to standard output; write a file: --output trials.{chosen}"
        )
    if output is None and chosen == "parquet":
        raise ExplorerError("parquet needs a file: --output trials.parquet")
    with explorer.open(workspace, study) as opened:
        frame, name = opened.frame, opened.name
    table = {"study": name, "trials": export.rows(frame)} if chosen == "json" else {}
    if chosen == "csv":
        export.to_csv(frame, output or sys.stdout)
    elif chosen == "parquet" and output is not None:
        export.to_parquet(frame, output)
    elif output is not None:
        export.to_text(document("export", {"result": table}), output)
    else:
        print_json("export", table)
    if as_json and output is not None:
        print_json("export", {"study": name, "format": chosen, "path": str(output), "count": len(frame)})


COMMANDS: tuple[Callable[..., None], ...] = (best, front, status, show, export)  # in the help's order
