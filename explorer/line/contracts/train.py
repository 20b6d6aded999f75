"""Types of stage ``train``: images, a model's name and perhaps initial weights → the model trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypedDict

from explorer.core.artifact import Artifact
from explorer.core.settings import AnswerSettings, TrainSettings
from explorer.line import stage
from explorer.line.contracts import data


class Initialised(TypedDict, total=False):
    """The tensors that initial weights left to chance.

    Attributes
    ----------
    reinitialised : the names of the tensors that stay random
    note : tells the user of them, if there are any
    """

    reinitialised: list[str]
    note: str


class Values(TypedDict):
    """The values that the stage returns.

    Attributes
    ----------
    parameters : the number of the model's parameters
    seconds : of training
    threads : that it trained on
    reinitialised, note : of initial weights, see `Initialised`
    """

    validation_accuracy: float
    parameters: int
    seconds: float
    threads: int
    reinitialised: NotRequired[list[str]]
    note: NotRequired[str]


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The model, its width, and ``[train]``.

    Parameters
    ----------
    model
        One of `explorer.models`, of timm or torchvision, or of the user's own.
    answered
        The validation images that the accuracy is taken on; None where it is all of them.
    version
        The model's ``VERSION``; None for one that has none, as long as it has not changed.
    """

    model: str
    width: float
    settings: TrainSettings
    answered: AnswerSettings | None = None
    version: int | None = field(default=None, metadata=stage.LEFT_OUT_IF_NONE)


@dataclass(frozen=True)
class Parents(stage.ParentsWithCode):
    """The images and, where the model does not start at random, a checkpoint."""

    data: Artifact[data.Values]
    weights: Artifact | None = None


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Trains a model from random or given weights."""

    name = "train"

    @property
    def trained_pixels(self) -> int:
        """Pixels of all images that the stage trains on, an image counted in every epoch."""
        return self.parameters.settings.epochs * training_pixels(self.parents.data)

    @property
    def answered_pixels(self) -> int:
        """Pixels of all images that a model which is not trained answers."""
        if self.parameters.settings.epochs:
            return 0
        return answered_pixels(self.parents.data, self.parameters.answered, "validation")


def training_pixels(images: Artifact[data.Values]) -> int:
    """Return the pixels of all training images, channels counted as one."""
    _, height, width = images.values["shape"]
    return images.values["train"] * height * width


def answered_pixels(
    images: Artifact[data.Values], answered: AnswerSettings | None, *splits: Literal["validation", "test"]
) -> int:
    """Return the pixels of all images of `splits` that torch answers, channels counted as one."""
    _, height, width = images.values["shape"]
    most = [answered.answered_images] if answered else []
    return sum(min([images.values[split], *most]) for split in splits) * height * width
