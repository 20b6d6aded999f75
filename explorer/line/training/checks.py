"""Model of the user's own, untrained → refused in one sentence if it cannot come down the line, before it is trained.

It is run and differentiated on two images, exported, compared with ONNX's operators in NumPy, and imported into TVM, in
a process of its own, because torch and TVM do not share one.
"""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from explorer.core.errors import Failure, StageFailed
from explorer.line.checking.onnx_reference import evaluator_of
from explorer.line.training import places
from explorer.line.training.losses import Loss
from explorer.line.training.onnx_export import export

IMAGES = 2  # batch norm needs more than one value per channel
TOLERANCE = 1e-3  # of the largest output
HOME = Path(__file__).parents[3]  # of the explorer's packages
SECONDS = 300.0  # for TVM to import a network


def check(stage: str, name: str, model: nn.Module, loss: Loss, shape: tuple[int, int, int], trains: bool) -> None:
    """Raise StageFailed, of kind ``unsupported``, if `model` cannot be trained, exported or imported.

    Neither the model nor torch's generator is changed.

    Parameters
    ----------
    stage, name
        That a failure names: the stage, and the model.
    loss
        Says which outputs it takes.
    shape
        Channels, height and width of an image.
    trains
        Whether the model will be trained.
    """
    with torch.random.fork_rng():
        model, random = copy.deepcopy(model), torch.Generator().manual_seed(0)
        images = torch.randn((IMAGES, *shape), generator=random)
        found = _wrong_types(model) or _wrong_outputs(model, images, loss)
        found = found or (_wrong_training(model, images, loss) if trains else None)
        found = found or _wrong_network(stage, model, images[:1])
    if found:
        raise StageFailed(Failure(stage, "unsupported", f"model {name} {found}"))


def _wrong_types(model: nn.Module) -> str | None:
    for name, parameter in model.named_parameters():
        if parameter.dtype != torch.float32:
            return f"has parameter '{name}' of {parameter.dtype}; networks are trained and exported in torch.float32"
    return None


@torch.no_grad()
def _wrong_outputs(model: nn.Module, images: Tensor, loss: Loss) -> str | None:
    """Return what is wrong with the outputs of single images beside those of all of them, None if they are the same."""
    together = model.eval()(images)
    try:
        alone = [model(image[None]) for image in images]
    except Exception as error:  # whatever the user's code raises
        return f"cannot take one image alone: {places.first_sentence(error)}{places.of_error(error, model)}"
    if wrong := loss.wrong(alone[0], 1):
        return f"gives {wrong}"
    if alone[0].shape[1:] != together.shape[1:]:
        return f"gives shape {tuple(alone[0].shape)} for one image and {tuple(together.shape)} for {IMAGES}"
    if _differ(together, torch.cat(alone)):
        norms = [name for name, module in model.named_modules() if _reads_batch(module)]
        guilty = f": module '{norms[0]}' normalises by the batch's own statistics" if norms else ""
        return f"computes something else for an image beside others than for it alone{guilty}"
    return None


def _reads_batch(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm) and (module.training or module.running_mean is None)


def _wrong_training(model: nn.Module, images: Tensor, loss: Loss) -> str | None:
    """Return why no step of training can be taken, None if one can."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not parameters:
        return "has no parameter that trains; [train] epochs = 0 takes it as it is"
    copied = copy.deepcopy(model).train()
    try:
        outputs = copied(images)
        if wrong := loss.wrong(outputs, len(images)):
            return f"gives {wrong}, while it trains"
        outputs.square().mean().backward()
    except Exception as error:  # whatever the user's code raises
        where = places.of_error(error, copied) or _in_place(error, copied)
        return f"cannot be trained: {places.first_sentence(error)}{where}"
    return None


def _in_place(error: BaseException, model: nn.Module) -> str:
    """Return which modules work in place if an error of the gradients is about one that does; they tell no place."""
    names = [f"'{name}' ({type(module).__name__})" for name, module in model.named_modules() if _is_in_place(module)]
    return f"; in place work {', '.join(names)}" if names and "inplace operation" in str(error) else ""


def _is_in_place(module: nn.Module) -> bool:
    return getattr(module, "inplace", False) is True


def _wrong_network(stage: str, model: nn.Module, image: Tensor) -> str | None:
    """Return how the exported network differs from `model`, or why TVM does not import it; None if all is well."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        export(model, image, path, stage=stage, fold=False)
        network = onnx.load(path)
        return _wrong_export(model, network, image) or _wrong_import(model, path)


@torch.no_grad()
def _wrong_export(model: nn.Module, network: onnx.ModelProto, image: Tensor) -> str | None:
    values = _values(network, image)
    if values is None:
        return None
    seen: dict[str, list[Tensor]] = {}
    hooks = [
        module.register_forward_hook(lambda *call, own=name: seen.setdefault(own, []).append(call[2]))
        for name, module in model.named_modules()
        if not [*module.children()]
    ]
    expected = model.eval()(image)
    for hook in hooks:
        hook.remove()
    if not _differ(torch.from_numpy(values["logits"]), expected):
        return None
    return "becomes another network when torch exports it to ONNX" + _first_difference(model, network, values, seen)


def _values(network: onnx.ModelProto, image: Tensor) -> dict[str, Any] | None:
    """Return all tensors of a network on an image, as NumPy computes them; None if onnx cannot compute one."""
    try:
        evaluator: Any = evaluator_of(network)
        with np.errstate(all="ignore"):
            found: dict[str, Any] = evaluator.run(None, {"image": image.numpy()}, intermediate=True)
    except Exception:  # such as a Pad that crops: the library is compared with torch later, at any rate
        return None
    return found


def _first_difference(
    model: nn.Module, network: onnx.ModelProto, values: dict[str, Any], seen: dict[str, list[Tensor]]
) -> str:
    """Return at which module of `model`, called once, the exported network's values differ from its output, or ""."""
    last: dict[str, onnx.NodeProto] = {}
    for node in network.graph.node:
        properties = {each.key: each.value for each in node.metadata_props}
        last[places.scope(properties)] = node
    for name, node in last.items():
        outputs = seen.get(name, [])
        if len(outputs) == 1 and isinstance(outputs[0], Tensor):
            value = torch.from_numpy(np.asarray(values[node.output[0]]))
            if value.shape == outputs[0].shape and _differ(value, outputs[0]):
                return places.of_operator({each.key: each.value for each in node.metadata_props}, model)
    return ""


def imported(path: Path) -> subprocess.CompletedProcess[str]:
    """Return the ended process that imported the network at `path` into TVM; its output is `importable`'s."""
    # A file in the folder that this process works in may have the name of any module: -P keeps Python out of it.
    command = [sys.executable, "-P", "-m", "dlas_ops.onnx.importable", str(path)]
    known = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(HOME), os.environ.get("PYTHONPATH"))))}
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=known)


def _wrong_import(model: nn.Module, path: Path) -> str | None:
    try:
        ended = imported(path)
    except subprocess.TimeoutExpired:
        return f"takes TVM's importer more than {SECONDS:g} s"
    if ended.returncode:
        return f"ends TVM's importer: {(ended.stderr.strip().splitlines() or ['without a word'])[-1]}"
    refusal = json.loads(ended.stdout.splitlines()[-1])
    if refusal is None:
        return None
    operator = f"ONNX's {refusal['operator']}" if refusal["operator"] else "its ONNX network"
    return f"cannot be compiled: TVM does not import {operator}{places.of_operator(refusal['properties'], model)}" + (
        "" if "not supported" in refusal["reason"] else f": {refusal['reason']}"
    )


def _differ(first: Tensor, second: Tensor) -> bool:
    return not bool((first - second).abs().max() <= TOLERANCE * second.abs().max())
