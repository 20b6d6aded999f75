"""Types of stage ``compress``: a trained model and a compression's name → the float32 network as ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.settings import AnswerSettings, CompressSettings, LossSettings
from explorer.line import stage
from explorer.line.contracts import data, train

# Raised when models of the user's own, or what is removed from a library's, give another network, and none of the
# bundled ones does: theirs keep their keys.
OWN_MODELS = 3
# Raised when training for 8 bits gives another network, and nothing else does.
INT8_QAT = 2

Costs = Mapping[str, int]  # of a layer: its weights, nonzeros among them, channels and multiply-accumulates


class LayerCosts(TypedDict):
    """A layer's costs in the trained and in the compressed network, which may lack it."""

    before: Costs
    after: Costs | None


class Reached(TypedDict, total=False):
    """What torch reaches with the compressed network, on the images that it answers.

    Attributes
    ----------
    torch_accuracy, torch_test_accuracy : of a classifier, on the validation and the test split
    torch_loss, torch_test_loss : likewise of a network for another task
    """

    torch_accuracy: float
    torch_test_accuracy: float
    torch_loss: float
    torch_test_loss: float


class Told(TypedDict, total=False):
    """What the user is told.

    Attributes
    ----------
    note : what had to stay as it was, if anything
    """

    note: str


class Compared(TypedDict):
    """The costs of a network's layers; names that end in ``_before`` are of the trained network.

    Attributes
    ----------
    weights : of convolutions, linear layers and attentions
    nonzeros : among the weights
    macs : per image
    weight_bytes_before : of the weights in float32
    removed_weights, removed_channels : shares
    layers : name → its costs
    """

    weights: int
    nonzeros: int
    channels: int
    macs: int
    weights_before: int
    nonzeros_before: int
    channels_before: int
    macs_before: int
    weight_bytes_before: int
    removed_weights: float
    removed_channels: float
    layers: dict[str, LayerCosts]


class Values(Reached, Told, Compared):
    """The values that the stage returns.

    Attributes
    ----------
    parameters, parameters_before : the numbers of the compressed and of the trained network's parameters
    kept_in_multiples_of : the channel multiple, where channels were removed
    """

    parameters: int
    parameters_before: int
    kept_in_multiples_of: int | None


@dataclass(frozen=True)
class Parameters(stage.Parameters):
    """The model, what is removed from it, and ``[compress]``.

    Parameters
    ----------
    compression
        The parts that change the float32 network, joined by ``+``, or ``none``.
    ratio
        None where no part takes one.
    channel_multiple
        None where no part removes channels.
    settings
        None where nothing changes and so nothing is fine-tuned.
    answered
        The images that torch answers; None where it is all of them.
    is_trained
        Whether the study trains the model; where it does not, nothing that torch does takes longer than its answers.
    loss
        ``[train] loss``, None where none is given.
    """

    compression: str
    ratio: float | None
    channel_multiple: int | None
    model: str
    width: float
    settings: CompressSettings | None = None
    answered: AnswerSettings | None = None
    is_trained: bool = field(default=True, metadata=stage.OUTSIDE_KEY)
    loss: LossSettings | None = None


@dataclass(frozen=True)
class Parents(stage.ParentsWithCode):
    """The images and the trained model."""

    data: Artifact[data.Values]
    train: Artifact[train.Values]


class Stage(stage.Stage[Parameters, Parents, Values]):
    """Compresses and fine-tunes a model and exports it."""

    name = "compress"

    @property
    def key(self) -> str:
        """The key that the stage's artifact lies under, with the versions of what is done to some of its networks."""
        model = self.parameters.model
        of_library = plugins.of_library(model) and self.parameters.compression != "none"
        own = {"own_models": OWN_MODELS} if plugins.is_custom(model) or of_library else {}
        if "int8_qat" in self.parameters.compression.split("+"):
            own["int8_qat"] = INT8_QAT
        return stage.content_key(self.name, {**self.parameters.keyed(), **own}, self.parents.keyed())

    @property
    def trained_pixels(self) -> int:
        """Pixels of all images that the stage trains on, an image counted in every epoch."""
        settings = self.parameters.settings
        return settings.epochs * train.training_pixels(self.parents.data) if settings else 0

    @property
    def answered_pixels(self) -> int:
        """Pixels of all images that a network answers that is neither trained nor fine-tuned."""
        if self.parameters.is_trained or self.trained_pixels:
            return 0
        return train.answered_pixels(self.parents.data, self.parameters.answered, "validation", "test")


Network = Artifact[Mapping[str, object]]  # of ``compress`` or ``quantize``: network.onnx and reference.npz
