"""Trained model → the same model, trained further under the rounding of its int8 form, so that it loses less there."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from explorer.compression import FineTune, keep_zeros, weighted
from explorer.compression._fake_quantization import freeze, inference_graph, observed, quantized, statistics

TAKES_RATIO = False
DTYPE = "int8"
KEEPS_ZEROS = True
CHANGES_SHAPES = False
OBSERVING = 0.75  # share of the epochs in which statistics and ranges follow the weights; then they stay
LEARNING_RATE = 0.5  # of the recipe's: the network is trained already
FROZEN_LEARNING_RATE = 0.1  # nothing normalises any more


def compress(model: nn.Module, ratio: float | None, example: Tensor, fine_tune: FineTune) -> nn.Module:
    """Fine-tune the float32 weights on what 8 bits make of them and of the activations; stage `quantize` rounds them.

    Weights that are zero stay zero.

    Raises
    ------
    StageFailed
        If `torch.export` cannot trace a model of the user's own.
    """
    network = quantized(inference_graph(model.eval(), example))
    hooks = [keep_zeros(weights.value) for weights in weighted(model) if weights.value.requires_grad]
    fine_tune(network, OBSERVING, LEARNING_RATE)
    if observed(network):
        freeze(network)
        fine_tune(network, 1 - OBSERVING, FROZEN_LEARNING_RATE)
    else:  # the share came to no whole epoch: the only one has no ranges yet that could stay
        fine_tune(network, 1 - OBSERVING, LEARNING_RATE)
    for hook in hooks:
        hook.remove()
    _take_statistics(model, network)
    return model.eval()


@torch.no_grad()
def _take_statistics(model: nn.Module, network: fx.GraphModule) -> None:
    """Give `model` the batch norms' statistics of `network`, which are others after a move to another device and back.

    Its parameters have stayed the same ones. Raises KeyError if the model has no buffer of a name.
    """
    own, trained = dict(model.named_buffers(remove_duplicate=False)), dict(network.named_buffers())
    for name in statistics(network):
        own[name].copy_(trained[name])
