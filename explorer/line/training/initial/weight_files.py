"""A file of weights, as people have them → name → tensor, in the file's order; nothing in it is executed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from explorer.core.errors import ExplorerError

# Keys under which checkpoints hold the state dict, among others and perhaps one in another: plain weights before their
# exponential moving average.
NESTED = (
    "state_dict", "model_state_dict", "model", "module", "net", "network", "params", "weights",
    "state_dict_ema", "model_ema", "ema_state_dict", "ema", "params_ema",
)  # fmt: skip
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile, which no network's own names begin with
# Workaround: torchvision 0.28: its ImageNet weights of DenseNet are of 2017 and say norm.1 where its layers say norm1;
# tests/workarounds
OLD_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)")
DEEPEST = 10  # keys of a state dict in one another; a dict that holds itself has no end
SAFETENSORS = ".safetensors"


@dataclass(frozen=True)
class Contents:
    """What a file of weights holds.

    Parameters
    ----------
    under
        The keys that lead to the state dict, joined by dots; empty where the file is one.
    others
        Keys beside it that hold other weights, such as their moving average.
    """

    tensors: Mapping[str, Tensor]
    under: str
    others: tuple[str, ...]


def read(path: Path) -> dict[str, Tensor]:
    """Return name → tensor from a checkpoint, see `contents`."""
    return dict(contents(path).tensors)


def contents(path: Path) -> Contents:
    """Return what a checkpoint holds: a state dict, a dict that holds one, or a file of safetensors.

    Raises
    ------
    ExplorerError
        If the file is no checkpoint, or more than tensors and plain values: nothing in it is executed.
    """
    content = _loaded(path)
    under: list[str] = []
    others: list[str] = []
    while key := next((key for key in NESTED if isinstance(content.get(key), Mapping)), None):
        if len(under) == DEEPEST:
            raise ExplorerError(f"{path} has its weights more than {DEEPEST} keys deep, in {'.'.join(under)}")
        others += [".".join((*under, other)) for other in NESTED if other != key and _has_tensors(content.get(other))]
        under.append(key)
        content = content[key]
    tensors = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise ExplorerError(f"{path} holds no state dict, which torch.save(model.state_dict(), ...) writes")
    for name, tensor in tensors.items():
        if why := _why_not_plain(tensor):
            raise ExplorerError(f"{path}: tensor '{name}' {why}; allowed: dense tensors of numbers")
    while prefix := next((each for each in PREFIXES if all(name.startswith(each) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    tensors = {OLD_DENSENET.sub(r"\1\2", name): tensor for name, tensor in tensors.items()}
    return Contents(tensors, ".".join(under), tuple(others))


def _loaded(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == SAFETENSORS:
            from safetensors.torch import load_file

            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # for a file that is no checkpoint both libraries raise errors of any kind
        raise ExplorerError(f"{path} {_why_unreadable(path, str(error))}") from error
    return content if isinstance(content, Mapping) else {}


def _why_not_plain(tensor: Tensor) -> str | None:
    """Return why nothing can be computed with a tensor, None if it is as networks have theirs."""
    if tensor.is_quantized:
        return "is quantized"
    if tensor.layout != torch.strided:
        return f"has the layout {tensor.layout}"
    if tensor.is_meta:
        return "has no numbers, as it is on device meta"
    if tensor.is_complex():
        return "has complex numbers"
    if tensor.numel() * tensor.element_size() > max(tensor.untyped_storage().nbytes(), 1):
        return f"says that it has {tensor.numel():,} numbers, and the file holds fewer"
    return None


def _has_tensors(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(each, Tensor | Mapping) for each in value.values())


def _why_unreadable(path: Path, message: str) -> str:
    if needed := re.search(r"Unsupported (?:global|class)[^\w]*(?:GLOBAL )?([\w.]+)", message):
        return f"needs Python code to be loaded ({needed[1]}): save model.state_dict() alone"
    if "TorchScript" in message:
        return "is a TorchScript archive: save model.state_dict() instead"
    if path.suffix == SAFETENSORS:
        return "is no file that safetensors wrote, or is damaged"
    return "is no checkpoint that torch.save wrote, or is damaged"
