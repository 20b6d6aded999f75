"""Settings of the stages: what is accepted, what is refused, and what enters keys."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from explorer.core.settings import DataSettings, MeasureSettings, Settings, TrainSettings
from explorer.space.search_options import Search


def test_an_absent_table_means_the_defaults() -> None:
    assert Settings.model_validate({}) == Settings() == Settings.model_validate({"train": {}})
    assert Settings.model_validate({"train": {"epochs": 3}}).train == TrainSettings(epochs=3) != TrainSettings()


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ("data", {"validation": 0.0}),
        ("data", {"test": 1.0}),
        ("data", {"image_size": 4}),
        ("data", {"normalise": "imagenet1k"}),
        ("data", {"crop": 1.2}),
        ("data", {"resize": 0}),
        ("data", {"interpolation": "linear"}),
        ("train", {"epochs": -1}),
        ("train", {"epochs": 1.5}),
        ("train", {"label_smoothing": 1.0}),
        ("train", {"learning_rate": 0.0}),
        ("compress", {"scores": "l3"}),
        ("compress", {"steps": 0}),
        ("quantize", {"percentile": 50.0}),
        ("quantize", {"calibration": "max"}),
        ("evaluate", {"images": -1}),
        ("measure", {"samples": 9}),
        ("measure", {"sample_ms": 0}),
        ("measure", {"tolerance": 0}),
        ("train", {"epoch": 3}),
        ("tune", {}),
    ],
)
def test_a_value_out_of_range_and_an_unknown_name_are_refused(table: str, wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as error:
        Settings.model_validate({table: wrong})
    place = error.value.errors()[0]["loc"]
    assert place == (table, *wrong)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().train.epochs = 3


def numbers(model: type[BaseModel], context: tuple[str, ...] = ()) -> Iterator[tuple[str, list[Any]]]:
    """Yield every number that a model takes, in tables inside too, with what bounds it."""
    for name, field in model.model_fields.items():
        annotation, path = field.annotation, (*context, name)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from numbers(annotation, path)
        else:
            yield from _bounds(".".join(path), annotation, list(field.metadata))


def _bounds(name: str, annotation: Any, metadata: list[Any]) -> Iterator[tuple[str, list[Any]]]:
    if annotation in (int, float):
        yield name, metadata
    elif hasattr(annotation, "__metadata__"):
        yield from _bounds(name, annotation.__origin__, [*metadata, *annotation.__metadata__])
    else:
        for part in get_args(annotation):
            yield from _bounds(name, part, metadata)


@pytest.mark.parametrize("model", [Settings, Search])
def test_every_number_has_finite_bounds(model: type[BaseModel]) -> None:
    found = dict(numbers(model))
    assert len(found) >= 2
    assert ("train.learning_rate" in found) == (model is Settings)
    for name, metadata in found.items():
        said = [each for field in metadata for each in getattr(field, "metadata", [field])]
        limits = {end: getattr(each, end) for each in said for end in ("ge", "gt", "le", "lt") if hasattr(each, end)}
        assert {"ge", "gt"} & limits.keys(), f"{name} has no least value"
        assert {"le", "lt"} & limits.keys(), f"{name} has no largest value"
        assert all(math.isfinite(limit) for limit in limits.values()), name


@pytest.mark.parametrize(
    ("table", "setting", "value"),
    [
        ("train", "learning_rate", math.inf), ("train", "weight_decay", math.nan), ("train", "epochs", 10**12),
        ("train", "batch_size", 2**63), ("train", "seed", 2**31), ("data", "validation", 1e-9),
        ("data", "image_size", 2**31), ("measure", "warmup_ms", math.inf), ("measure", "samples", 10**12),
        ("measure", "tolerance", math.inf), ("measure", "extra_time", math.inf), ("quantize", "percentile", math.nan),
    ],
)  # fmt: skip
def test_a_number_out_of_bounds_is_refused(table: str, setting: str, value: float) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({table: {setting: value}}, strict=True)
    (error,) = caught.value.errors()
    assert error["loc"] == (table, setting)
    assert error["input"] is value


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mean": [0.5]}, r"mean in \[data\] needs std beside it"),
        ({"std": 0.5}, r"std in \[data\] needs mean beside it"),
        ({"mean": [0.5], "std": [0.5, 0.5]}, r"has 1 numbers and std 2; both need as many"),
        ({"mean": 0.5, "std": 0.5, "normalise": "half"}, "take the place of normalise; give one of the two"),
        ({"mean": 123.7, "std": 58.4}, "less than or equal to 1"),
        ({"mean": 0.5, "std": 0}, "greater than or equal to 0.000001"),
    ],
)
def test_a_normalisation_is_whole_and_said_once(given: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataSettings.model_validate(given)


def test_scales_are_taken_one_way() -> None:
    with pytest.raises(ValidationError, match=r'calibration = "mse" in \[quantize\] has no percentile, such as 99.9'):
        Settings.model_validate({"quantize": {"calibration": "mse", "percentile": 99.9}})
    assert "calibration" not in Settings().quantize.model_dump()
    assert Settings.model_validate({"quantize": {"calibration": "mse"}}).quantize.model_dump()["calibration"] == "mse"


def test_how_images_are_cut_and_normalised_is_in_keys_where_it_is_given() -> None:
    assert set(DataSettings().model_dump()) == {"validation", "test", "seed", "image_size"}
    given = DataSettings.model_validate({"mean": 0.5, "std": [0.25], "crop": 0.875, "interpolation": "bicubic"})
    assert given.model_dump() == {
        **DataSettings().model_dump(), "mean": (0.5,), "std": (0.25,), "crop": 0.875, "interpolation": "bicubic"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (DataSettings(), DataSettings(folder="/data", image_folder="/srv/flowers")),
        (TrainSettings(), TrainSettings(weights="checkpoints/{model}.pt")),
    ],
)
def test_where_files_lie_stays_out_of_keys(here: BaseModel, there: BaseModel) -> None:
    assert here != there
    assert here.model_dump() == there.model_dump()


def test_fewer_bits_may_lie_further_from_what_they_are_compared_with() -> None:
    settings = MeasureSettings(tolerance=0.5, narrow_tolerance=0.75)
    allowed = {dtype: settings.allowed(dtype) for dtype in ("float32", "float16", "int8")}
    assert allowed == {"float32": 0.5, "float16": 0.75, "int8": 0.75}
