"""Tables of a search-space file that are no axes → validated settings of the stages; each enters its stage's key."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from explorer.core.errors import did_you_mean
from explorer.core.measurement.metric import Direction, Metric

# Every number has bounds, generous ones: what lies beyond is a slip, and would fail or never end.
MOST_SEED = 2**31 - 1  # that every library takes
MOST_EPOCHS = 100_000
MOST_IMAGES = 100_000_000
MOST_SESSIONS = 10_000
MOST_MILLISECONDS = 3_600_000.0
MOST_SIDE = 8192  # of an image in pixels
Fraction = Annotated[float, Field(ge=1e-4, le=1 - 1e-4)]
Seed = Annotated[int, Field(ge=0, le=MOST_SEED)]
Epochs = Annotated[int, Field(ge=0, le=MOST_EPOCHS)]
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]
LearningRate = Annotated[float, Field(gt=0, le=1000)]
WeightDecay = Annotated[float, Field(ge=0, le=1000)]
Tolerance = Annotated[float, Field(gt=0, le=1000)]
Sessions = Annotated[int, Field(ge=1, le=MOST_SESSIONS, exclude=True)]
Augmentation = Literal["crop", "flip", "resized_crop", "shift"]
LOSSES = ("cross_entropy", "mse", "l1", "smooth_l1", "bce")  # see `explorer.line.training.losses`
OWN_FUNCTION = re.compile(r"[\w.]+:[A-Za-z_]\w*")  # module:function
Normalisation = Literal["imagenet", "half", "dataset"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]


def _named(given: object) -> object:
    """Return a list of names, one name, or ``"none"`` as a tuple."""
    if isinstance(given, list):
        return tuple(given)
    return () if given == "none" else (given,) if isinstance(given, str) else given


def _function(setting: str, names: tuple[str, ...] = ()) -> Callable[[str], str]:
    """Return what refuses a value of `setting` that is neither one of `names` nor ``module:function``."""

    def check(value: str) -> str:
        if not value or value in names or OWN_FUNCTION.fullmatch(value):
            return value
        form = "module:function, which is a function of your own"
        if ":" in value or not names:
            raise ValueError(f"{setting} = '{value}' is not {form}")
        raise ValueError(f"unknown {setting} '{value}'{did_you_mean(value, names)}; or {form}")

    return check


def _by_channel(given: object) -> object:
    """Return a list of numbers, or one for all channels, as a tuple."""
    if isinstance(given, list):
        return tuple(given)
    return (given,) if isinstance(given, int | float) and not isinstance(given, bool) else given


def _is_none(value: object) -> bool:
    return value is None


LeftOut = Field(exclude_if=_is_none)  # a setting that is in no key where it is not given
Levels = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1)]
Spreads = Annotated[tuple[Annotated[float, Field(ge=1e-6, le=1)], ...], Field(min_length=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataSettings(_Settings):
    """``[data]``: where data sets lie, and how one without splits of its own is split, stratified by class."""

    validation: Fraction = 0.2  # share of the training images that the search's accuracy is taken on
    test: Fraction = 0.25  # share held back for the front's accuracy where the data set has no test split
    seed: Seed = 0
    image_size: Annotated[int, Field(ge=8, le=MOST_SIDE)] = (
        224  # side in pixels that image_folder's images are brought to
    )
    # How training images are varied, () for not at all; as the data set has it where it is not given, and not in keys.
    augment: Annotated[
        tuple[Augmentation, ...] | None, BeforeValidator(_named), Field(exclude_if=lambda names: names is None)
    ] = None
    # What images are normalised by: a usual pair of mean and std, or the two by channel, of pixels from 0 to 1; as the
    # initial weights ask for, else by the training images' own, where neither is given.
    normalise: Annotated[Normalisation | None, LeftOut] = None
    mean: Annotated[Levels | None, BeforeValidator(_by_channel), LeftOut] = None
    std: Annotated[Spreads | None, BeforeValidator(_by_channel), LeftOut] = None
    # How images are scaled and cut: the shorter side in pixels after scaling, and the share of it that is kept.
    resize: Annotated[int | None, Field(ge=1, le=MOST_SIDE), LeftOut] = None
    crop: Annotated[float | None, Field(ge=1e-3, le=1), LeftOut] = None
    interpolation: Annotated[Interpolation | None, LeftOut] = None
    # A folder does not change its files' contents: keys have the files' digest in place of both fields.
    folder: Annotated[str, Field(exclude=True)] = ""  # of data sets; DLAS_DATA or else ./data where it is not given
    image_folder: Annotated[str, Field(exclude=True)] = ""  # of image_folder's train/, val/ and test/

    @model_validator(mode="after")
    def _normalises_once(self) -> Self:
        if (self.mean is None) != (self.std is None):
            given, lacking = ("mean", "std") if self.std is None else ("std", "mean")
            raise ValueError(f"{given} in [data] needs {lacking} beside it")
        if self.mean is not None and self.normalise is not None:
            raise ValueError("mean and std in [data] take the place of normalise; give one of the two")
        if self.mean and self.std and len(self.mean) != len(self.std):
            raise ValueError(f"mean in [data] has {len(self.mean)} numbers and std {len(self.std)}; both need as many")
        return self


class TrainSettings(_Settings):
    """``[train]``: SGD with Nesterov momentum under a one-cycle schedule."""

    # Initial weights: a checkpoint, in whose name {dataset}, {model} and {width} stand for the configuration's, or
    # "pretrained", torchvision's for ImageNet. Keys have the file's digest in its place.
    weights: Annotated[str, Field(exclude=True)] = ""
    epochs: Epochs = 15  # 0: the initial weights, or the ONNX files, as they are
    batch_size: BatchSize = 64
    learning_rate: LearningRate = 0.1
    weight_decay: WeightDecay = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Seed = 0
    # One of LOSSES or module:function, for fine-tuning too. Where none is given, and in no key then: cross_entropy of
    # classes, mse of numbers.
    loss: Annotated[str, AfterValidator(_function("loss", LOSSES)), Field(exclude_if=lambda name: not name)] = ""


class LossSettings(_Settings):
    """The loss of ``[train]`` where a network is fine-tuned."""

    loss: str


class CompressSettings(_Settings):
    """``[compress]``: how weights or channels are chosen for removal, and the fine-tuning afterwards."""

    steps: Annotated[int, Field(ge=1, le=1000)] = (
        1  # that weights or channels are removed in; epochs between steps are not left for the last
    )
    scores: Literal["l1", "lamp"] = "l1"  # by which weights are ranked
    norm: Literal["l1", "l2"] = "l2"  # of the weights that write and read a channel
    epochs: Epochs = 4
    batch_size: BatchSize = 64
    learning_rate: LearningRate = 0.05
    weight_decay: WeightDecay = 5e-4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Seed = 0


class QuantizeSettings(_Settings):
    """``[quantize]``: the training images that the scales of int8 are taken from."""

    images: Annotated[int, Field(ge=1, le=MOST_IMAGES)] = 128
    # Which of an activation's values its scale covers: so many, or those with which its mean squared error is least.
    calibration: Annotated[Literal["percentile", "mse"], Field(exclude_if=lambda name: name == "percentile")] = (
        "percentile"  # in no key: stores of before there were two have none
    )
    percentile: Annotated[float, Field(gt=50, le=100)] = 100.0
    seed: Seed = 0

    @model_validator(mode="after")
    def _is_one_way(self) -> Self:
        if self.calibration == "mse" and self.percentile != 100:
            raise ValueError(f'calibration = "mse" in [quantize] has no percentile, such as {self.percentile:g}')
        return self


class EvaluateSettings(_Settings):
    """``[evaluate]``: the images that the compiled network is judged on, and what it is judged by."""

    # Of the validation images, and as many of the test images, of every class about the same share; 0 takes all.
    images: Annotated[int, Field(ge=0, le=MOST_IMAGES)] = 0
    seed: Seed = 0
    # module:function that judges predictions, and which way it is better; the accuracy, and in no key, without one.
    metric: Annotated[str, AfterValidator(_function("metric")), Field(exclude_if=lambda name: not name)] = ""
    direction: Annotated[Direction, Field(exclude_if=lambda way: way == "maximize")] = "maximize"

    @model_validator(mode="after")
    def _has_metric(self) -> Self:
        if not self.metric and self.direction == "minimize":
            raise ValueError('direction = "minimize" in [evaluate] needs a metric: accuracy is maximised')
        return self

    @property
    def answered(self) -> AnswerSettings | None:
        """The same images as settings of what answers them alone; None for all."""
        return AnswerSettings(answered_images=self.images, answered_seed=self.seed) if self.images else None


class AnswerSettings(_Settings):
    """The images that torch answers in a study that trains nothing: those of ``[evaluate]`` where it names some."""

    answered_images: Annotated[int, Field(ge=1, le=MOST_IMAGES)]
    answered_seed: Seed


class MeasureSettings(_Settings):
    """``[measure]``: the latency protocol, and how far compiled outputs may lie from the reference."""

    samples: Annotated[int, Field(ge=10, le=10_000)] = 12  # of a session
    sample_ms: Annotated[float, Field(gt=0, le=60_000)] = (
        5.0  # each sample is the mean over as many runs as fill this time
    )
    warmup_ms: Annotated[float, Field(ge=0, le=MOST_MILLISECONDS)] = 50.0
    # More sessions add to what is on record and change no key: how many every stack gets, how many at most, and which
    # share of the time that a run has taken is spent on those beyond the first number.
    sessions: Sessions = 2
    most_sessions: Sessions = 8
    extra_time: Annotated[float, Field(ge=0, le=1000, exclude=True)] = 0.1
    # Largest |compiled - reference| over largest |reference|, on the test images compared, for a latency or an accuracy
    # to be taken at all. The reference is torch or, of int8, the quantized network in NumPy.
    tolerance: Tolerance = 1e-3
    # The same of float16 and int8. A value between two of 8 bits may fall to either, which adds up over the layers: to
    # 0.09 in an untrained DenseNet-161, to less than 0.03 in shallower networks; float16 deviates by up to 0.05.
    narrow_tolerance: Tolerance = 0.2

    def allowed(self, dtype: str) -> float:
        """Return the tolerance for networks that are stored in `dtype`."""
        return self.tolerance if dtype == "float32" else self.narrow_tolerance


class OwnSettings(_Settings):
    """``[own]``: what code of the user's own reads that the explorer does not see; the files' digest enters its key."""

    files: Annotated[tuple[str, ...], BeforeValidator(_named)] = ()  # patterns, relative to the space's folder


class Settings(_Settings):
    """All of them; an absent table means the defaults."""

    @property
    def answered(self) -> AnswerSettings | None:
        """The images that torch answers; None for all of them, which takes little of the time that a training does."""
        return None if self.train.epochs else self.evaluate.answered

    data: DataSettings = DataSettings()
    train: TrainSettings = TrainSettings()
    compress: CompressSettings = CompressSettings()
    quantize: QuantizeSettings = QuantizeSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    measure: MeasureSettings = MeasureSettings()
    own: Annotated[OwnSettings, Field(exclude=True)] = OwnSettings()

    @property
    def metric(self) -> Metric:
        """What networks are judged by."""
        return Metric.given(self.evaluate.metric, self.evaluate.direction)
