"""Arguments of the commands that read studies → one call each, and what it returns as tables or JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

import explorer
from explorer.cli.terminal import WORKSPACE, AsJson, InWorkspace, OfStudy, print_each, print_json, print_parts
from explorer.core.errors import ExplorerError

# Tables, pandas and all else that takes long to import is imported where it is used: `dlas --help` answers at once.
WithEmulated = Annotated[bool, typer.Option("--emulated", help="Let emulated devices stand beside real ones.")]


def best(
    latency_ms: Annotated[float, typer.Option("--latency-ms", min=0, help="Budget for the median latency.")],
    device: Annotated[
        str | None, typer.Option(help="Device, or several as a+b; may be left out where the study has one.")
    ] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(min=0, max=1, help="Least validation accuracy, as a share such as 0.95.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option(help="Least probability of keeping the budget, such as 0.95.")
    ] = None,
    emulated: WithEmulated = False,
    workspace: InWorkspace = WORKSPACE,
    study: OfStudy = None,
    as_json: AsJson = False,
) -> None:
    """Print the most accurate stack within a latency budget; exit with 1 where none fits."""
    answer = explorer.best(latency_ms, device, min_accuracy, workspace, study, confidence, emulated)
    if as_json:
        print_json(answer.as_dict())
    else:
        from explorer.results import tables

        print_parts(tables.best_text(answer))
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
    from explorer.results import export, tables
    from explorer.results.across_devices import comparison_tables

    with explorer.open(workspace, study) as opened:
        rows = opened.front_with_ties(device)
        compared = opened.compare(device, emulated) if compare else None
        if figure is not None:
            opened.figure(figure, latency_ms, emulated)
        if compared is not None and as_json:
            print_json(compared.as_dict())
        elif compared is not None:
            print_each(comparison_tables.comparison_text(compared))
        elif as_json:
            print_json(export.rows(rows))
        else:
            print_parts(tables.fronts_table(rows, opened.nearest(device), opened.limits, opened.objectives))


def status(workspace: InWorkspace = WORKSPACE, study: OfStudy = None, as_json: AsJson = False) -> None:
    """Print how far a study is, what failed and why, what the stages have cost and what tuning changes in the order."""
    from explorer.results import tables

    with explorer.open(workspace, study) as opened:
        found = opened.status()
    if as_json:
        print_json(found.as_dict())
    else:
        print_parts(tables.status_text(found))


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
        print_json(found.as_dict())
    else:
        print_each(tables.trial_text(found))


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


COMMANDS: tuple[Callable[..., None], ...] = (best, front, status, show, export)  # in the help's order
