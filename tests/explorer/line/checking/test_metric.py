"""A metric of the user's own: its value, its interval, and what is wrong with it in one sentence."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from explorer.core.errors import StageFailed
from explorer.line.checking.metric import Judge

Floats = NDArray[np.float32]
MODULE = "metrics_of_a_user"


@pytest.fixture(autouse=True)
def _module() -> Iterator[None]:
    sys.modules[MODULE] = types.ModuleType(MODULE)
    yield
    del sys.modules[MODULE]


def judge(function: object) -> Judge:
    setattr(sys.modules.setdefault(MODULE, types.ModuleType(MODULE)), "metric", function)  # noqa: B010
    return Judge("score", f"{MODULE}:metric")


def errors(predictions: Floats, targets: Floats) -> Floats:
    found: Floats = np.abs(predictions - targets).mean(1)
    return found


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 9))
def test_scores_of_images_and_one_number_for_all_are_the_same_metric(images: int, numbers: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    predictions, targets = random.normal(size=(2, images, numbers)).astype(np.float32)
    expected = float(np.abs(predictions - targets).mean())
    each = judge(errors).interval(predictions, targets)
    whole = judge(lambda *both: errors(*both).mean()).interval(predictions, targets)
    assert each.value == pytest.approx(expected, rel=1e-5)
    assert whole.value == pytest.approx(expected, rel=1e-5)
    for found in (each, whole):
        assert found.low <= found.value <= found.high


def test_the_interval_is_that_of_the_mean_of_a_sample() -> None:
    random = np.random.default_rng(0)
    predictions = random.normal(3.0, 2.0, (400, 1)).astype(np.float32)
    found = judge(lambda predictions, targets: predictions[:, 0]).interval(predictions, predictions)
    half = 1.96 * predictions.std() / np.sqrt(len(predictions))
    assert found.high - found.value == pytest.approx(half, rel=0.15)
    assert found.value - found.low == pytest.approx(half, rel=0.15)


def test_a_number_for_all_images_has_an_interval_though_some_draws_have_none() -> None:
    labels = np.array([0.0, 0.0, 0.0, 1.0], np.float32)

    def of_ones(predictions: Floats, targets: Floats) -> float:
        if not (targets == 1).any():
            raise ZeroDivisionError
        return float(predictions[targets == 1].mean())

    assert judge(of_ones).interval(labels, labels) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda predictions, targets: "good", "returns a str; it must return one number, or one for each image, shape"),
        (lambda predictions, targets: None, r"returns nan; it must return one number"),
        (lambda predictions, targets: np.ones((3, 2)), r"returns shape \(3, 2\); it must .* image, shape \(3,\)"),
        (lambda predictions, targets: np.ones(4), r"returns shape \(4,\)"),
        (lambda predictions, targets: [1.0, np.inf, 2.0], "returns inf; .* finite; it got predictions of shape"),
        (lambda predictions, targets: 1 / 0, "raises ZeroDivisionError: division by zero; it got"),
    ],
)
def test_what_is_no_metric_is_one_sentence(function: Callable[..., object], said: str) -> None:
    images = np.zeros((3, 1), np.float32)
    with pytest.raises(StageFailed, match=said) as failed:
        judge(function).value(images, images)
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("score", "metric")
    assert failed.value.failure.message.startswith(f"[evaluate] metric '{MODULE}:metric' ")
