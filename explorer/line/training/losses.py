"""Name of a loss, or a function of the user's own → what training minimises: outputs and targets to a scalar tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from explorer.core import plugins
from explorer.core.errors import Failure, StageFailed
from explorer.datasets import Indices
from explorer.line.prepared import Inputs
from explorer.line.task import MASKS, VOID, Task

Function = Callable[[Tensor, Tensor], Tensor]

# Of outputs and targets that have one shape; bce's outputs are logits.
ELEMENTWISE: dict[str, Callable[..., Tensor]] = {
    "mse": F.mse_loss, "l1": F.l1_loss, "smooth_l1": F.smooth_l1_loss, "bce": F.binary_cross_entropy_with_logits,
}  # fmt: skip
CHECKED_IMAGES = 2


@dataclass(frozen=True)
class Loss:
    """What training minimises.

    Parameters
    ----------
    name
        One of `explorer.core.settings.LOSSES`, ``module:function``, or nothing for that of the task.
    task
        What the network is trained for.
    """

    name: str
    task: Task

    def function(self, label_smoothing: float = 0.0) -> Function:
        """Return the function from outputs (N, …) and targets (N, …) to their mean loss.

        Parameters
        ----------
        label_smoothing
            Of cross entropy; no other loss has one.
        """
        name = self.name or self.task.loss
        if plugins.is_custom(name):
            return partial(_own, cast(Function, plugins.load_custom(name)))
        if name == "cross_entropy":
            ignored = VOID if self.task.kind == MASKS else -100  # torch's own number, which no label is
            return partial(_cross_entropy, label_smoothing=label_smoothing, ignore_index=ignored)
        return partial(_elementwise, ELEMENTWISE[name])

    def wrong(self, output: object, images: int = 2) -> str | None:
        """Return what is wrong with a model's `output` for so many images; None if the loss can take it."""
        answer = self.task.answers(self.name)
        if not isinstance(output, Tensor):
            wanted = f"logits, (N, {self.task.classes})" if self.task.classifies else "one tensor, (N, …)"
            return f"a {type(output).__name__} instead of {wanted}"
        shape, count = tuple(output.shape), "one image" if images == 1 else f"{images} images"
        if answer is not None and shape != (images, *answer):
            why = (
                "" if self.task.classifies else f", which loss {self.name or self.task.loss} of {self.task.kind} needs"
            )
            return f"shape {shape} for {count} instead of {(images, *answer)}{why}"
        if not output.is_floating_point() or shape[:1] != (images,):
            return f"{output.dtype} of shape {shape} for {count}; it must give floats of shape ({images}, …)"
        return None

    def check(self, stage: str, model: nn.Module, images: Inputs) -> None:
        """Refuse a loss that training could not minimise: it is tried on two images and the untrained `model`.

        Raises
        ------
        StageFailed
            Of kind ``loss``, with what the function gave and what it has to give.
        """
        if self.task.classifies and self.name in ELEMENTWISE:
            message = f"[train] loss '{self.name}' compares numbers, and the images of this data set have labels"
            raise StageFailed(Failure(stage, "loss", f"{message}: leave it out, or give 'cross_entropy'"))
        if not plugins.is_custom(self.name):
            return
        with torch.enable_grad():
            outputs = model.eval()(torch.from_numpy(images[:CHECKED_IMAGES]))
            targets = torch.tensor(images.labels[:CHECKED_IMAGES])
            try:
                found = self.function()(outputs, targets)
            except Exception as error:  # whatever the user's function raises
                raise self._refused(stage, f"raises {type(error).__name__}: {error}", outputs, targets) from error
        if not isinstance(found, Tensor):
            raise self._refused(stage, f"gives a {type(found).__name__}, not a scalar tensor", outputs, targets)
        if found.ndim:
            raise self._refused(stage, f"gives shape {tuple(found.shape)}, not a scalar", outputs, targets)
        if not found.requires_grad:
            raise self._refused(stage, "gives a tensor that does not depend on the outputs", outputs, targets)
        if not bool(found.isfinite()):
            raise self._refused(stage, f"gives {found.item()}", outputs, targets)

    def mean(self, model: nn.Module, images: Inputs, indices: Indices, batch: int) -> float:
        """Return the loss of `model` on the images at `indices`, no more than `batch` of them in memory at once."""
        function, total = self.function(), 0.0
        model.eval()
        with torch.no_grad():
            for start in range(0, len(indices), batch):
                chunk = indices[start : start + batch]
                targets = torch.tensor(images.labels[chunk])
                some = torch.from_numpy(images.normalised(images.pixels(chunk)))
                total += float(function(model(some), targets)) * len(targets)
        return total / len(indices)

    def _refused(self, stage: str, what: str, outputs: Tensor, targets: Tensor) -> StageFailed:
        shapes = f"outputs of shape {tuple(outputs.shape)} and targets of shape {tuple(targets.shape)}, {targets.dtype}"
        return StageFailed(Failure(stage, "loss", f"[train] loss '{self.name}' {what}, on {shapes}"))


def _own(function: Function, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return what the user's function gives; whole numbers come as int64, which torch's losses take."""
    return function(outputs, targets if targets.is_floating_point() else targets.long())


def _cross_entropy(outputs: Tensor, targets: Tensor, *, label_smoothing: float, ignore_index: int) -> Tensor:
    whole = targets if targets.is_floating_point() else targets.long()  # floats are probabilities
    return F.cross_entropy(outputs, whole, label_smoothing=label_smoothing, ignore_index=ignore_index)


def _elementwise(function: Callable[..., Tensor], outputs: Tensor, targets: Tensor) -> Tensor:
    return function(outputs, targets.to(outputs.dtype))
