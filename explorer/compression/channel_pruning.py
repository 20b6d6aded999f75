"""Trained model → a narrower model: channels removed along the dependency graph (Fang et al., arXiv 2301.12900)."""

from __future__ import annotations

from torch import Tensor, nn

from explorer.compression import FineTune, channels_of, gradually, note, weighted
from explorer.compression._dependencies import CLASSES
from explorer.compression._narrowing import Rule, listed, narrowed

TAKES_RATIO = True
CHANGES_SHAPES = True
OPTIONS = ("channel_multiple", "norm", "steps")
NORMS = {"l1": 1, "l2": 2}


def compress(
    model: nn.Module,
    ratio: float,
    example: Tensor,
    fine_tune: FineTune,
    *,
    channel_multiple: int = 8,
    norm: str = "l2",
    steps: int = 1,
) -> nn.Module:
    """Remove the channels of least magnitude from every layer alike, step by step, and fine-tune the rest after each.

    Parameters
    ----------
    ratio
        Share of each layer's output channels to remove, as near as `channel_multiple` allows. Layers that are added
        together lose the same channels. The layers that give the network's outputs keep all, and so do
        layers where torch-pruning does not know what else depends on their channels.
    example
        Shape (N, C, H, W): a batch to trace the model with.
    channel_multiple
        What the number of channels that a layer keeps is a multiple of, such as the elements of the target's vector
        registers; a layer with no more channels than that keeps them all. Groups of a convolution or a norm keep
        equally many each.
    norm
        Of the weights that write and read a channel, by which channels are ranked: ``"l1"`` or ``"l2"``.
    steps
        How often channels are removed; how many are left in the end does not depend on it.

    Raises
    ------
    StageFailed
        If no channels can be removed, or the dependency graph of a model of the user's own is wrong.
    """
    model.eval()
    widths = {weights.name: channels_of(weights.layer) for weights in weighted(model)}
    whole: dict[str, str] = {}
    for step in gradually(steps):
        model = narrowed(model, example, Rule(step.removed * ratio, channel_multiple, NORMS[norm], widths), whole)
        fine_tune(model, step.fine_tuning)
        model.eval()
    if reasons := listed({root: reason for root, reason in whole.items() if reason != CLASSES}):
        note(f"channel_pruning leaves channels: {reasons}")
    return model
