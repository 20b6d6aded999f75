"""Model → what its layers that have weights cost: weights, those that are not zero, multiply-accumulates, channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from explorer.compression import channels_of, weighted


def account(model: nn.Module, example: Tensor) -> dict[str, dict[str, int]]:
    """Return the costs of every convolution, linear layer and attention by its name in `model`.

    Parameters
    ----------
    example
        Shape (1, C, H, W); MACs are those of one image.

    Returns
    -------
    dict
        Layer → ``channels`` (outputs), ``weights``, ``nonzeros`` (among the weights) and ``macs``, which counts zeros
        as well: what a dense kernel computes. Weights that an earlier layer has, too, count there.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(example)
    root = type(model).__name__
    flops: Mapping[str, Mapping[Any, int]] = counter.get_flop_counts()
    names = {module: f"{root}.{name}" for name, module in model.named_modules()}
    return {
        each.name: {
            "channels": channels_of(each.layer),
            "weights": each.value.numel() if each.owned else 0,
            "nonzeros": int(each.value.count_nonzero()) if each.owned else 0,
            "macs": sum(flops.get(names[each.layer], {}).values()) // 2,
        }
        for each in weighted(model)
    }


def parameters(model: nn.Module) -> int:
    """Return the number of the model's parameters, those of batch norms and biases too."""
    return sum(parameter.numel() for parameter in model.parameters())
