"""Model and how many channels to keep → a narrower copy, checked to do what the model does without the others."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm

import torch_pruning as tp
from torch import Tensor, nn

from explorer.compression._dependencies import CLASSES, Dependencies
from explorer.compression._silence import differs, silenced, survivors, tag
from explorer.core.errors import Failure, StageFailed

MOST_NAMED = 3  # groups of channels in a message
LOST = "torch-pruning loses track of which layers share them"


@dataclass(frozen=True)
class Rule:
    """How many channels to keep, and by which norm of their weights they are ranked.

    Attributes
    ----------
    ratio : share to remove
    multiple : what the number that is left is a multiple of
    norm : 1 for the sum of magnitudes, 2 for that of squares
    widths : layer's name → the channels that the ratio is a share of
    """

    ratio: float
    multiple: int
    norm: int
    widths: Mapping[str, int]


Removed = list[tuple[str, list[int]]]  # layers' names and the places of their channels, one after the other


def narrowed(model: nn.Module, example: Tensor, rule: Rule, whole: dict[str, str]) -> nn.Module:
    """Return a copy of `model` without the channels that `rule` removes.

    Parameters
    ----------
    example
        Shape (N, C, H, W).
    whole
        Layer → why all its channels have to stay. Those that are found out here are added: where the copy does not do
        what the model does without the channels, each group of them is removed alone.

    Raises
    ------
    StageFailed
        If no channels can be removed, or not those of all groups together.
    """
    result, message = _attempt(model, example, rule, whole)
    if message:
        for root in [name for name in _roots(model, example) if name not in whole]:
            _, reason = _attempt(model, example, rule, whole, only=root)
            if reason:
                whole[root] = reason
        result, message = _attempt(model, example, rule, whole)
    if message is None and set(_roots(model, example)) <= {*whole}:
        others = {root: reason for root, reason in whole.items() if reason != CLASSES}
        message = listed(others or whole) or "the network has no convolution or linear layer"
    if message:
        raise StageFailed(Failure("compress", "unsupported", f"channel_pruning removes no channels: {message}"))
    return result


def _attempt(
    model: nn.Module, example: Tensor, rule: Rule, whole: dict[str, str], only: str | None = None
) -> tuple[nn.Module, str | None]:
    """Return a narrower copy of `model`, of a single group if `only` names it, and what is wrong with it."""
    result = _trainable(copy.deepcopy(model))
    try:
        removed = _remove(Dependencies(result, example), rule, whole, only)
        tagged = _trainable(copy.deepcopy(model))
        replayed = Dependencies(tagged, example)
        tag(tagged)
        for root, places in removed:
            replayed.remove(root, places)
    except Exception:  # torch-pruning raises all kinds, where it takes a network for another one
        return model, LOST
    reason = differs(result, silenced(model, survivors(tagged)), example) if removed else None
    before = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    for name, parameter in result.named_parameters():
        parameter.requires_grad_(before[name])
    return result, reason


def _remove(dependencies: Dependencies, rule: Rule, whole: dict[str, str], only: str | None) -> Removed:
    """Remove channels of least magnitude; return which, and add to `whole` the groups that are known to need all."""
    importance = tp.importance.GroupMagnitudeImportance(p=rule.norm)
    removed: Removed = []
    for group in dependencies.groups():
        if group.kept:
            whole.setdefault(group.root, group.kept)
        if group.root in whole or only not in (None, group.root):
            continue
        left = kept(rule.widths[group.root], rule.ratio, lcm(rule.multiple, group.parts))
        if left < group.channels:
            places = _least(importance(group.own), group.channels - left, group.parts)
            dependencies.remove(group.root, places)
            removed.append((group.root, places))
    return removed


def kept(width: int, ratio: float, multiple: int) -> int:
    """Return how many of `width` channels remain: a multiple of `multiple` next to ``width * (1 - ratio)``."""
    wanted = max(1, round(width * (1 - ratio) / multiple)) * multiple
    return min(wanted, width // multiple * multiple) or width


def _least(importance: Tensor, count: int, parts: int) -> list[int]:
    """Return the `count` least important channels, at the same places in each of `parts` equal parts of them."""
    # Workaround: torch-pruning 1.6.1: it removes from every group of a grouped convolution the inputs that it removes
    # from the first; tests/workarounds
    size = len(importance) // parts
    places = importance.view(parts, size).sum(0).argsort(stable=True)[: count // parts]
    return [part * size + int(place) for part in range(parts) for place in places]


def _trainable(model: nn.Module) -> nn.Module:
    """Return `model` with gradients for all parameters, which torch-pruning traces channels by."""
    return model.requires_grad_(True)


def _roots(model: nn.Module, example: Tensor) -> list[str]:
    """Return the layers that stand for the groups of channels, none if torch-pruning cannot trace the model."""
    try:
        return [group.root for group in Dependencies(_trainable(copy.deepcopy(model)), example).groups()]
    except Exception:  # as above
        return []


def listed(whole: Mapping[str, str]) -> str:
    """Return why groups of channels have to stay, in a sentence."""
    named = [f"those of '{root}' have to stay, because {reason}" for root, reason in [*whole.items()][:MOST_NAMED]]
    more = f", and so have those of {len(whole) - MOST_NAMED} more layers" if len(whole) > MOST_NAMED else ""
    return "; ".join(named) + more
