"""Weights in whole vectors and groups: each where it is looked for, zeros elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from dlas_ops.kernels.shared.packing import in_panels, in_vectors
from dlas_ops.processor.dot import dot_of
from dlas_ops.processor.targets import describe
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.shapes import SETTINGS, weights


@settings(SETTINGS, max_examples=25)
@given(weights())
def test_vectors_hold_the_filters_in_turn(weight: networks.Array) -> None:
    packed = in_vectors(weight, 8)
    assert packed.shape[1] == 8
    flat = packed.reshape(-1, *weight.shape[1:])
    np.testing.assert_array_equal(flat[: len(weight)], weight)
    assert not flat[len(weight) :].any()


@pytest.mark.parametrize(("mcpu", "values"), [("x86-64-v3", 2), ("znver4", 4), ("cortex-a72", 1)])
def test_panels_hold_groups_of_what_an_instruction_sums(mcpu: str, values: int) -> None:
    weight = np.random.default_rng(0).integers(-128, 128, (5, 7, 2, 3)).astype(np.int8)
    dot = dot_of("int8", describe(named(mcpu)))
    assert dot.values == values
    panels = in_panels(weight, 4, dot)
    assert str(panels.dtype) == dot.weight
    grouped = panels if values > 1 else panels[..., None]
    for o, i, h, w in np.ndindex(weight.shape):
        assert grouped[o // 4, h, w, i // values, o % 4, i % values] == weight[o, i, h, w]
    assert np.count_nonzero(panels) == np.count_nonzero(weight)
