"""A network's tensors and a file's → which of the file's goes where, by name or by order, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

Tensors = Mapping[str, Tensor]

COUNTER = "num_batches_tracked"  # of batch norms; nothing here uses it, and old checkpoints lack it
# What frameworks put before a network's names; unlike those of `weight_files`, a network of the user's may have them.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "ema.", "ema_model.", "model_ema.")
KINDS = ("weight", "bias", "running_mean", "running_var")  # what a tensor's name ends in says what it is


@dataclass(frozen=True)
class Fit:
    """How a file's tensors fit a network's; batch norms' counters are in neither.

    Parameters
    ----------
    own, given
        The network's tensors and the file's, by the names that each has; the file's without a common prefix.
    sources
        The network's name → the file's, of all tensors that have a counterpart.
    classifier
        The network's tensors, all of its last layer, that differ in nothing but the number of classes.
    by_order
        Whether the names are others, and the tensors are the same in number, order, kind and shape.
    """

    own: Tensors
    given: Tensors
    sources: Mapping[str, str]
    classifier: tuple[str, ...]
    by_order: bool

    @property
    def different(self) -> list[str]:
        """The network's tensors that the file has in another shape, but for the classifier's."""
        return [name for name in self._unlike if name not in self.classifier]

    @property
    def missing(self) -> list[str]:
        """The network's tensors that the file lacks."""
        return [name for name in self.own if name not in self.sources]

    @property
    def unknown(self) -> list[str]:
        """The file's tensors that the network lacks."""
        taken = {*self.sources.values()}
        return [name for name in self.given if name not in taken]

    @property
    def not_finite(self) -> list[str]:
        """The network's tensors for which the file has values that are not finite."""
        return [name for name, source in self.sources.items() if not self.given[source].isfinite().all()]

    @property
    def _unlike(self) -> list[str]:
        return [name for name, source in self.sources.items() if self.given[source].shape != self.own[name].shape]

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The network's name → the file's tensor, of all that are of the network's shape."""
        unlike = {*self._unlike}
        return {name: self.given[source] for name, source in self.sources.items() if name not in unlike}

    @property
    def faults(self) -> Mapping[str, list[str]]:
        """What does not fit, by kind; empty lists where all does."""
        return {
            "of another shape": [f"{name} {self.sides(name)}" for name in self.different],
            "missing in the file": self.missing,
            "unknown to the model": self.unknown,
            "not finite": self.not_finite,
        }

    def sides(self, name: str) -> str:
        """Return the shapes of a tensor in the file and in the model, in words."""
        return f"{shape_of(self.given[self.sources[name]])} in the file, {shape_of(self.own[name])} in the model"


def fit(own: Tensors, given: Tensors, classes: int) -> Fit:
    """Return how the tensors of a file fit those of a network with so many `classes`.

    Names decide. Where they do not find every tensor, with or without what frameworks put before them, the order does
    if both sides have the same tensors in it.
    """
    own, given = without_counters(own), without_counters(given)
    named = max(_named(given), key=lambda tensors: sum(name in tensors for name in own))
    if not all(name in named for name in own) and (pairs := _in_order(own, given, classes)):
        return _fit(own, given, pairs, classes, by_order=True)
    return _fit(own, named, {name: name for name in own if name in named}, classes, by_order=False)


def _fit(own: Tensors, given: Tensors, sources: Mapping[str, str], classes: int, *, by_order: bool) -> Fit:
    unlike = [name for name, source in sources.items() if given[source].shape != own[name].shape]
    others = _only_classifier(own, {name: given[sources[name]] for name in unlike}, classes)
    return Fit(own, given, sources, tuple(unlike) if others else (), by_order)


def _named(given: Tensors) -> list[Tensors]:
    """Return the file's tensors under their names, then those behind each known prefix under what follows it."""
    found = [given]
    for tensors in found:  # which grows: one prefix may stand before another
        for prefix in PREFIXES:
            behind = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            found += [behind] if behind else []
    return found


def _in_order(own: Tensors, given: Tensors, classes: int) -> dict[str, str] | None:
    """Return the network's name → the file's, tensor by tensor in their order; None if any pair differs."""
    if len(own) != len(given):
        return None
    pairs = dict(zip(own, given, strict=True))
    kinds = [tuple(each.rpartition(".")[2] for each in pair) for pair in pairs.items()]
    if any(one != other and {one, other} <= {*KINDS} for one, other in kinds):
        return None
    unlike = {name: given[source] for name, source in pairs.items() if given[source].shape != own[name].shape}
    return pairs if not unlike or _only_classifier(own, unlike, classes) else None


def _only_classifier(own: Tensors, unlike: Tensors, classes: int) -> bool:
    """Tell whether the tensors that differ are the last layer's, and in nothing but the number of classes."""
    layer = list(own)[-1].rpartition(".")[0]
    return all(
        name.rpartition(".")[0] == layer
        and len(own[name]) == classes
        and theirs.ndim == own[name].ndim
        and theirs.shape[1:] == own[name].shape[1:]
        for name, theirs in unlike.items()
    )


def without_counters(tensors: Tensors) -> dict[str, Tensor]:
    """Return the tensors that decide what a network computes."""
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(COUNTER)}


def shape_of(tensor: Tensor) -> str:
    """Return the shape of a tensor as ``64x3x7x7``."""
    return "x".join(map(str, tensor.shape)) or "scalar"
