"""Settings of the stages: what is accepted, what is refused, and what enters keys."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from explorer.core.settings import DataSettings, MeasureSettings, Settings, TrainSettings


def test_an_absent_table_means_the_defaults() -> None:
    assert Settings.model_validate({}) == Settings() == Settings.model_validate({"train": {}})
    assert Settings.model_validate({"train": {"epochs": 3}}).train == TrainSettings(epochs=3) != TrainSettings()


@pytest.mark.parametrize(
    ("table", "wrong"),
    [
        ("data", {"validation": 0.0}),
        ("data", {"test": 1.0}),
        ("data", {"image_size": 4}),
        ("train", {"epochs": -1}),
        ("train", {"epochs": 1.5}),
        ("train", {"label_smoothing": 1.0}),
        ("train", {"learning_rate": 0.0}),
        ("compress", {"scores": "l3"}),
        ("compress", {"steps": 0}),
        ("quantize", {"percentile": 50.0}),
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
