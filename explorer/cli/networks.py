"""Arguments of the commands about models and their weights → one call each, as tables or JSON."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

import explorer
from explorer.cli.terminal import AsJson, print_json, print_parts
from explorer.core.errors import ExplorerError, one_sentence

# Tables are imported where they are used: `dlas --help` answers at once.


def models(
    part: Annotated[
        str | None,
        typer.Argument(help="timm:PART or torchvision:PART: that library's networks with PART in their name."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the models that a search space may name."""
    from explorer.results.tables import network_tables

    found = explorer.list_models(part)
    if as_json:
        return print_json("models", {"models": [asdict(each) for each in found]})
    return print_parts(network_tables.models_table(found), *(() if part else (network_tables.HOW,)))


def weights(
    file: Annotated[Path, typer.Argument(help="A checkpoint, or a file of safetensors.")],
    model: Annotated[str, typer.Option(help="The model, as a search space names it.")],
    width: Annotated[float, typer.Option(help="Multiplier of its channel counts.")] = 1.0,
    classes: Annotated[int | None, typer.Option(help="Of the data set; those of the file if not given.")] = None,
    shape: Annotated[
        str | None, typer.Option(help="Channels, height and width of the images; 3x224x224 if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print which tensors of a file fit a model, side by side, before any data is read."""
    from explorer.results.tables import network_tables

    if classes is not None and classes < 2:
        raise ExplorerError(f"--classes {classes} is below 2")
    found = explorer.check_weights(file, model, width, classes, None if shape is None else _shape(shape))
    why_not = "" if found.fits else one_sentence(f"{file.name} does not fit the model: {found.why_not}")
    if as_json:
        print_json("weights", {"comparison": asdict(found)}, why_not)
    else:
        print_parts(*network_tables.comparison_parts(found, file, model))
    if why_not and as_json:  # the error is in the document; a second one would follow an exception
        print(f"error: {why_not}", file=sys.stderr)
        raise typer.Exit(2)
    if why_not:
        raise ExplorerError(why_not)


def _shape(text: str) -> tuple[int, int, int]:
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise ExplorerError(f"--shape '{text}' is no shape of images; allowed: channels, height and width as 3x32x32")
    channels, height, width = map(int, match.groups())
    return channels, height, width


COMMANDS: tuple[Callable[..., None], ...] = (models, weights)  # in the help's order
