"""A model's name → what there is, and how a file of weights fits it; nothing is trained and no data is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.core import plugins
from explorer.core.errors import ExplorerError, StageFailed, did_you_mean
from explorer.results.networks import Comparison, Model

if TYPE_CHECKING:
    from explorer.processes.pool import Worker


def list_models(part: str | None = None) -> list[Model]:
    """Return the bundled models; with ``timm:part`` or ``torchvision:part`` that library's with `part` in their names.

    Raises
    ------
    ExplorerError
        If `part` begins with no library's name, or the library is not installed.
    """
    if part is None:
        return [_bundled(name) for name in plugins.names("model")]
    library = plugins.of_library(part if ":" in part else f"{part}:")
    if library is None:
        raise ExplorerError(f"unknown library in '{part}'{did_you_mean(part.partition(':')[0], plugins.LIBRARIES)}")
    names = _asked("explorer.models._libraries:matching", {"pattern": part})
    return [Model(name, takes_width=False, pretrained=False) for name in names]


def check_weights(
    file: Path | str,
    model: str,
    width: float = 1.0,
    classes: int | None = None,
    shape: tuple[int, int, int] | None = None,
) -> Comparison:
    """Return how the weights in `file` fit `model`, tensor by tensor, before any training.

    Parameters
    ----------
    model
        As the axis ``model`` takes it.
    classes, shape
        Of the images: channels, height and width; as the file has them, on 224 px, where they are None.

    Raises
    ------
    ExplorerError
        If there is no such file or model, the file holds no weights, or the model cannot take such images.
    """
    if not Path(file).is_file():
        raise ExplorerError(f"{file}: no such file")
    if not 0 < width < math.inf:
        raise ExplorerError(f"width {width} is not positive")
    if plugins.of_library(model) and width != 1:
        raise ExplorerError(f"model {model} has no width other than 1, and is asked for at {width:g}")
    if plugins.is_onnx(model):
        raise ExplorerError(f"model {model} is an ONNX file, which has its own weights; allowed: a model in PyTorch")
    if ":" not in model and model not in plugins.names("model"):
        raise ExplorerError(f"unknown model '{model}'{did_you_mean(model, plugins.names('model'))}")
    arguments = {"path": str(Path(file)), "model": model, "width": width, "classes": classes, "shape": shape}
    found = _asked("explorer.line.training.initial.comparing:compare", {**arguments, "folder": _folder(model)})
    if "error" in found:
        raise ExplorerError(found["error"])
    return Comparison(**found)


def _bundled(name: str) -> Model:
    pretrained = plugins.literal("model", name, "PRETRAINED") is not None
    about = plugins.headline("model", name).partition("→ ")[2]
    return Model(name, takes_width=True, pretrained=pretrained, about=about)


def _folder(model: str) -> str | None:
    """Return the folder that code of the user's own is imported from, None for another model."""
    from explorer.inputs import user_code
    from explorer.processes import reaching

    if not plugins.is_custom(model):
        return None
    with reaching.logs("dlas-networks-") as place:
        return str(user_code.find(model, (Path.cwd(),), place / "digests.db").path)


def _asked(call: str, arguments: dict[str, Any]) -> Any:
    """Return what a function answers in a worker for torch."""
    from explorer.processes import pool, reaching

    with reaching.logs("dlas-networks-") as logs, pool.temporary("torch", "networks", logs) as worker:
        return _answer(worker, call, arguments)


def _answer(worker: Worker, call: str, arguments: dict[str, Any]) -> Any:
    try:
        return worker.request({"call": call, "arguments": arguments})
    except StageFailed as failed:
        raise ExplorerError(failed.failure.message.removeprefix("ExplorerError: ")) from failed
