"""Every schedule's declared choices: the rule-based one first, each one right, others refused."""

from __future__ import annotations

from typing import Any

import pytest
import tvm_ffi

import dlas_ops
from dlas_ops.kernels.scheduling import schedule, schedule_function, spaces
from dlas_ops.kernels.shared import reference
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.lowering import Lowered
from dlas_ops.processor.targets import describe
from dlas_ops.schedule.tunables import Choice, chosen
from tests.dlas_ops import small_networks as networks

CASES = {
    "direct": Conv(1, 8, 6, 8, 64, (3, 3), padding=(1, 1, 1, 1)),
    "gemm": Conv(1, 8, 6, 8, 64, (3, 3), padding=(1, 1, 1, 1)),
    "spatial_pack": Conv(1, 32, 6, 8, 64, (3, 3), padding=(1, 1, 1, 1)),
    "winograd": Conv(1, 32, 14, 16, 64, (3, 3), padding=(1, 1, 1, 1)),
    "depthwise": Conv(1, 32, 6, 8, 32, (3, 3), padding=(1, 1, 1, 1), groups=32),
    "grouped": Conv(1, 32, 6, 8, 64, (3, 3), padding=(1, 1, 1, 1), groups=2),
}
ERROR = {"float32": 1e-5, "float16": 2e-3}
MOST_VALUES = [2, pytest.param(12, marks=pytest.mark.nightly)]  # of one tunable that are compiled; a tile has dozens


def lowered_of(kind: str, dtype: str = "float32") -> Lowered:
    conv = CASES[kind]
    algorithm = kind if conv.groups == 1 else "spatial_pack"
    return dlas_ops.lower(networks.one_layer(conv), networks.target(), algorithm=algorithm, dtype=dtype)


def chosen_in(lowered: Lowered, choice: Choice) -> dict[str, Any]:
    """Return the one program of a network that has tunables, scheduled with `choice`."""
    [program] = spaces(lowered.module, networks.target())
    return {program: schedule_function(lowered.module[program], describe(networks.target()), choice)}


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *((kind, "float32") for kind in CASES),
        *(pytest.param(kind, "float16", marks=pytest.mark.nightly) for kind in ("direct", "gemm", "spatial_pack")),
    ],
)
@pytest.mark.parametrize("most", MOST_VALUES)
def test_every_choice_computes_the_same(kind: str, dtype: str, most: int) -> None:
    conv, lowered = CASES[kind], lowered_of(kind, dtype)
    data = networks.random(networks.shape_of(conv))
    expected = reference.conv2d(data, networks.weights_of(conv), conv)
    [space] = spaces(lowered.module, networks.target()).values()
    assert "tile" in space
    for name, values in space.items():
        assert len(values) == len(set(values))
        for value in values[:: -(-len(values) // most)]:
            library = dlas_ops.build(lowered, networks.target(), chosen_in(lowered, {name: value})).library
            networks.assert_close(networks.run_library(library, data), expected, ERROR[dtype])


def test_the_first_values_are_the_rules() -> None:
    lowered = lowered_of("spatial_pack")
    [space] = spaces(lowered.module, networks.target()).values()
    rules = schedule(lowered.module, networks.target())
    spelled_out = schedule(lowered.module, networks.target(), chosen_in(lowered, chosen(space)))
    other = schedule(lowered.module, networks.target(), chosen_in(lowered, {"tile": space["tile"][1]}))
    assert tvm_ffi.structural_equal(rules, spelled_out)
    assert not tvm_ffi.structural_equal(rules, other)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"tiles": (1, 1, 1)}, "unknown tunable 'tiles'; there are outer, prefetch, tile, unroll"),
        ({"outer": "rows"}, r"outer = 'rows' is not allowed; one of \['.*'\] is"),
    ],
)
def test_refuses_what_is_not_in_the_space(choices: dict[str, object], message: str) -> None:
    lowered = lowered_of("direct")
    with pytest.raises(ValueError, match=message):
        chosen_in(lowered, choices)
