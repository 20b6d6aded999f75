"""Models that a space may name, and how a file of weights fits one → tables and sentences for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from explorer.results import readable

if TYPE_CHECKING:
    from explorer.results.networks import Comparison, Model

HOW = (
    'Networks of libraries are models, too: model = "timm:mobilenetv3_small_100" or "torchvision:regnet_y_400mf"; '
    "dlas models timm:mobilenetv3 lists those of timm with mobilenetv3 in their names."
)


def models_table(models: Sequence[Model]) -> Table:
    """Return one line per model."""
    table = readable.table("model", "widths", "weights", "about")
    for model in models:
        widths, weights = "any" if model.takes_width else "1", "pretrained" if model.pretrained else "from a file"
        table.add_row(model.name, widths, weights, model.about)
    return table


def comparison_parts(found: Comparison, file: Path, model: str) -> list[RenderableType]:
    """Return the model's tensors beside the file's, and in a sentence whether a training can start from them."""
    table = readable.table("tensor of the model", "shape", "tensor of the file", "shape", "")
    for row in found.tensors:
        shapes = _shape(row["shape"]), _shape(row["file_shape"])
        table.add_row(row["name"], shapes[0], row["file_name"] or "-", shapes[1], row["state"])
    for row in found.unknown:
        table.add_row("-", "-", row["name"], _shape(row["shape"]), "unknown to the model")
    return [table, *_sentences(found, file, model)]


def _sentences(found: Comparison, file: Path, model: str) -> list[str]:
    count, size = len(found.tensors), "x".join(map(str, found.shape))
    built = f"{model} for {found.classes:,} classes of {size} images"
    other = [row["name"] for row in found.tensors if row["state"] == "other classes"]
    says = [f"{file.name} fits {built}: {count} tensors." if found.fits else f"{file.name} does not fit {built}."]
    if found.under:
        others = f"; {', '.join(found.others)} would be other weights" if found.others else ""
        says.append(f"The weights are under {found.under}{others}.")
    if found.by_order:
        says.append("Names differ, and kinds and shapes are the same in order: tensors are taken by order.")
    if other:
        says.append(f"The classifier is of other classes and would start at random: {', '.join(other)}.")
    return says


def _shape(shape: Sequence[int] | None) -> str:
    return "-" if shape is None else "x".join(map(str, shape)) or "scalar"
