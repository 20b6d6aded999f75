"""Types of stage ``data``: a data set's name, settings and files → its images in three splits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NotRequired, TypedDict

from explorer.core.artifact import Artifact
from explorer.core.settings import DataSettings
from explorer.line import stage


class Written(TypedDict):
    """Facts of the splits that are known once they are written.

    Attributes
    ----------
    mean, std : per channel of pixels in [0, 1]: those that images are normalised by
    digest : of what was written
    """

    mean: list[float]
    std: list[float]
    digest: str


class Wanted(TypedDict, total=False):
    """What initial weights ask of the images that they are given.

    Attributes
    ----------
    mean, std : per channel of pixels in [0, 1]
    image_size, crop, interpolation : as in ``[data]``
    """

    mean: list[float]
    std: list[float]
    image_size: int
    crop: float
    interpolation: str


class Values(Written):
    """The values that the stage returns.

    Attributes
    ----------
    classes : their number
    shape : [C, H, W] of an image
    train, validation, test : the number of images
    augment : names from `explorer.line.training.augmentation`
    corrupt : the number of files that are no images and were left out
    corrupt_names : the first of them
    left_out : what else lies there and is not used: each kind with its number, for data sets of image files
    note : tells the user of both
    root : folder that the images lie in now; the trial adds it
    """

    classes: int
    class_names: list[str]
    shape: list[int]
    train: int
    validation: int
    test: int
    augment: list[str]
    corrupt: int
    corrupt_names: list[str]
    left_out: NotRequired[list[str]]
    note: NotRequired[str]
    root: NotRequired[str]


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The data set, one of `explorer.datasets` or of the user's own, and ``[data]``."""

    dataset: str
    settings: DataSettings


@dataclass(frozen=True)
class Parents(stage.ParentsWithCode):
    """What the data set is read from, and for.

    Parameters
    ----------
    source
        The folder that the data set's files lie in; its key is their digest.
    wanted
        What the initial weights ask of images where ``[data]`` says nothing, see `Wanted`; its key is their digest.
    """

    source: Artifact
    wanted: Artifact[Wanted] | None = None


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Loads a data set, splits it and writes the splits."""

    name = "data"
