"""Model, images and a recipe → trained weights; the same ones on the same machine."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from explorer.core.errors import Failure, StageFailed
from explorer.line import execution
from explorer.line.prepared import Inputs
from explorer.line.task import LABELS, Task
from explorer.line.training import checkpoint, places
from explorer.line.training.activations import kept_bytes
from explorer.line.training.augmentation import augmented
from explorer.line.training.losses import Loss
from explorer.line.training.recipe import Recipe
from explorer.models import builder

MOMENTUM = 0.9
ACTIVATION_BYTES = 3 << 29  # of a batch that trains at once: with gradients and weights, below 4 GiB in all
KEEP_SECONDS = 10.0  # of training, at least, between two states that are kept
ALLOCATION_FAILED = re.compile("allocate memory|out of memory|not enough memory")  # torch raises a plain RuntimeError


@dataclass(frozen=True)
class Device:
    """Where networks train, and in which precision their layers compute; their weights are float32 everywhere."""

    type: str
    dtype: torch.dtype

    @staticmethod
    def best() -> Device:
        """Return the GPU, with mixed precision, or the CPU where there is none."""
        return Device("cuda", torch.float16) if torch.cuda.is_available() else Device("cpu", torch.float32)


def make_reproducible(seed: int) -> None:
    """Seed torch's generator and allow only deterministic kernels, for the rest of the process.

    Sums still depend on the number of threads, so that equal weights need an equal ``torch.get_num_threads()``.
    """
    torch.manual_seed(seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS sums in any order
    # On a GPU, a few operators have no deterministic kernel; the worker's log names them.
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())
    # Its other half fills every fresh tensor with NaN, a fifth of the time that MobileNetV2 trains on small images.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def build_model(stage: str, name: str, width: float, shape: tuple[int, int, int], loss: Loss) -> nn.Module:
    """Return the untrained model `name`, checked to map (N, C, H, W) to what `loss` takes: of labels, (N, classes).

    Raises
    ------
    StageFailed
        If the model cannot take images of this shape, or gives another output.
    """
    build, model = builder(name), None
    try:
        model = build(width, loss.task.classes, shape)
        with torch.no_grad():
            output = model.eval()(torch.zeros(2, *shape))
    except Exception as error:  # whatever the user's code raises
        said = f"{places.first_sentence(error)}{places.of_error(error, model) if model is not None else ''}"
        message = f"model {name} at width {width} cannot take images of shape {shape}: {said}"
        raise StageFailed(Failure(stage, "unsupported", message)) from error
    if wrong := loss.wrong(output):
        raise StageFailed(Failure(stage, "unsupported", f"model {name} gives {wrong}"))
    return model


def fit(
    stage: str,
    model: nn.Module,
    images: Inputs,
    recipe: Recipe,
    epochs: int | None = None,
    device: Device | None = None,
    loss: Loss | None = None,
) -> None:
    """Train `model` in place, each image varied at random as its data set says.

    An execution that was cut off goes on after the last epoch that was kept, and ends with the same weights.

    Parameters
    ----------
    stage
        Name that a failure carries, and the table of the search space that has the recipe.
    epochs
        Instead of the recipe's.
    device
        Instead of the GPU or, where there is none, the CPU; the weights come back to the CPU.
    loss
        What is minimised; the cross entropy of labels unless given.

    Raises
    ------
    StageFailed
        If the loss is no longer finite, or memory runs out; the message says what to change.
    """
    epochs = recipe.epochs if epochs is None else epochs
    if not epochs:
        return
    try:
        minimised = loss or Loss("", Task(LABELS, 0))
        training = _Training(model, images, recipe, epochs, device or Device.best(), minimised)
        training.run()
    except FloatingPointError as error:
        rate = recipe.learning_rate
        message = f"{error}; lower [{stage}] learning_rate (now {rate:g}), for example to {rate / 4:g}"
        raise StageFailed(Failure(stage, "not_finite", message, f"recipe: {recipe}")) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not ALLOCATION_FAILED.search(str(error)):
            raise
        message = f"memory ran out in training; lower [{stage}] batch_size (now {recipe.batch_size})"
        raise StageFailed(Failure(stage, "out_of_memory", message, str(error))) from error
    model.eval().to("cpu").to(memory_format=torch.contiguous_format)


class _Training:
    """A training under way: all that decides how it goes on, except for torch's generator."""

    def __init__(
        self, model: nn.Module, images: Inputs, recipe: Recipe, epochs: int, device: Device, loss: Loss
    ) -> None:
        self.model, self.images, self.recipe, self.epochs, self.device = model, images, recipe, epochs, device
        self.loss, self.classifies = loss.function(recipe.label_smoothing), loss.task.classifies
        self.batch = min(recipe.batch_size, len(images))
        self.steps = len(images) // self.batch  # the last, smaller batch is left out: batch norm needs many images
        self.epoch = 0
        self.targets = torch.from_numpy(np.array(images.labels))  # a copy: torch warns of arrays that only can be read
        self.factor, self.offset = (torch.from_numpy(array).to(device.type) for array in images.scale)
        _channels_last(model.train())
        self.parts = _parts(self.batch, kept_bytes(model, images.shape))
        model.to(device.type)
        self.optimizer = torch.optim.SGD(
            model.parameters(), recipe.learning_rate, MOMENTUM, weight_decay=recipe.weight_decay, nesterov=True
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, recipe.learning_rate, total_steps=epochs * self.steps
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=device.dtype == torch.float16)

    def run(self) -> None:
        """Train to the end, from where an earlier execution was cut off if it was.

        Raises
        ------
        FloatingPointError
            If a loss is not finite.
        """
        kept = _Kept(self)
        kept.restore()
        while self.epoch < self.epochs:
            self._run_epoch()
            kept.save_if_due()

    def _run_epoch(self) -> None:
        order = torch.randperm(len(self.images))[: self.steps * self.batch]
        losses, hits = 0.0, 0
        for step, part in enumerate(order.split(self.batch), start=1):  # type: ignore[no-untyped-call]
            loss, right = self._step(part)
            if not math.isfinite(loss):
                raise FloatingPointError(f"the loss became {loss} in epoch {self.epoch + 1} of {self.epochs}")
            losses, hits = losses + loss, hits + right
            execution.current().advance(
                self.epoch * self.steps + step,
                self.epochs * self.steps,
                f"epoch {self.epoch + 1} of {self.epochs}, loss {losses / step:.3f}"
                + (f", accuracy {hits / (step * self.batch):.1%}" if self.classifies else ""),
            )
        self.epoch += 1

    def _step(self, part: Tensor) -> tuple[float, int]:
        """Train on the images at the indices `part`; return their mean loss and how many were classified correctly."""
        pixels, targets = self._varied(part), self.targets[part].to(self.device.type)
        self.optimizer.zero_grad()
        loss, hits = 0.0, 0
        for some, theirs in zip(pixels.tensor_split(self.parts), targets.tensor_split(self.parts), strict=True):
            with torch.autocast(self.device.type, self.device.dtype, enabled=self.device.dtype != torch.float32):
                outputs = self.model(some)
                mean = self.loss(outputs, theirs)
            share = mean * (len(theirs) / len(targets))
            self.scaler.scale(share).backward()  # type: ignore[no-untyped-call]
            loss += share.item()
            hits += int((outputs.argmax(1) == theirs).sum()) if self.classifies else 0
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        return loss, hits

    def _varied(self, part: Tensor) -> Tensor:
        """Return the images at the indices `part`, augmented and normalised, on the device."""
        pixels = torch.from_numpy(self.images.pixels(part.numpy())).to(self.device.type)
        pixels = augmented(pixels, self.images.augment).contiguous(memory_format=torch.channels_last)
        return pixels * self.factor - self.offset

    def identity(self) -> dict[str, Any]:
        """Return what has to be the same for a state to be of this training."""
        shapes = {name: list(tensor.shape) for name, tensor in self.model.state_dict().items()}
        device = [self.device.type, str(self.device.dtype)]
        return {"shapes": shapes, "recipe": asdict(self.recipe), "epochs": self.epochs, "device": device}

    def state(self) -> dict[str, Any]:
        """Return all that decides how the training goes on, between two epochs."""
        parts = {name: part.state_dict() for name, part in self._stateful().items()}
        generators = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state()
        return {"identity": self.identity(), "epoch": self.epoch, "parts": parts, "generators": generators}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from `state`; raise ValueError if it is of another training."""
        if state["identity"] != self.identity():
            raise ValueError("it is of another training")
        for name, part in self._stateful().items():
            part.load_state_dict(state["parts"][name])
        self.epoch = state["epoch"]
        torch.set_rng_state(state["generators"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["generators"]["cuda"])

    def _stateful(self) -> dict[str, Any]:
        return {"model": self.model, "optimizer": self.optimizer, "schedule": self.schedule, "scaler": self.scaler}


def _channels_last(model: nn.Module) -> None:
    """Store all weights of 2-d convolutions by their channels last: depthwise ones train twice as fast so."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim == 4:  # of five, Module.to would have to be told another layout
            # As Module.to does: contiguous() leaves a depthwise weight as it lies, which trains in 1.6 times the time.
            tensor.data = tensor.data.to(memory_format=torch.channels_last)


class _Kept:
    """The states of a training in the scratch folder of the execution that it is part of."""

    def __init__(self, training: _Training) -> None:
        self._training = training
        self._file = execution.current().file("training.pt")
        self._saved = time.monotonic()

    def restore(self) -> None:
        """Bring the training to where an earlier execution was cut off, if it was."""
        try:
            if self._file:
                self._training.load(checkpoint.load(self._file))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            execution.current().note(f"training starts anew, what was kept of it cannot be used: {error}")

    def save_if_due(self) -> None:
        """Keep the state between two epochs, unless that was done a moment ago: an epoch may take less than a write."""
        if self._file and time.monotonic() - self._saved >= KEEP_SECONDS:
            checkpoint.save(self._file, self._training.state())
            self._saved = time.monotonic()


def _parts(batch: int, kept: int) -> int:
    """Return into how many parts a batch is split so that activations of `kept` bytes per image stay bounded."""
    most = max(2, ACTIVATION_BYTES // max(1, kept))  # batch norm needs more than one image
    return max(1, min(math.ceil(batch / most), batch // 2))
