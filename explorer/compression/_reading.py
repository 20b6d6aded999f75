"""Model and image → which of its weights an operator reads as they are, so that their zeros save products there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name

# Last parts of the names of functions that sum products of their operands.
PRODUCTS = (
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "linear", "bilinear",
    "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "addmm", "baddbmm", "einsum", "tensordot",
    "multi_head_attention_forward", "_native_multi_head_attention", "_transformer_encoder_layer_fwd",
)  # fmt: skip


class _Reads(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.storages: set[int] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[Any], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Run `func`, and note what it reads if it sums products."""
        if str(resolve_name(func) or getattr(func, "__name__", "")).rpartition(".")[2] in PRODUCTS:
            read = _tensors([*args, *(kwargs or {}).values()])
            self.storages.update(tensor.untyped_storage().data_ptr() for tensor in read)
        return func(*args, **(kwargs or {}))


def _tensors(values: Sequence[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


@torch.no_grad()
def reads_directly(model: nn.Module, example: Tensor) -> Callable[[Tensor], bool]:
    """Return a function that tells of a parameter of `model` whether an operator that sums products reads it itself.

    One that reads what is computed of the parameter, such as standardized weights, does not see its zeros.

    Parameters
    ----------
    example
        Shape (N, C, H, W).
    """
    with _Reads() as reads:
        model.eval()(example)
    return lambda parameter: parameter.untyped_storage().data_ptr() in reads.storages
