"""Which combinations of choices make sense and why the others do not, what they ask for, and their canonical JSON."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core import configuration, plugins
from explorer.core.configuration import Configuration, canonical, digest

PLAIN = Configuration("digits", "resnet18")


@pytest.mark.parametrize(
    ("compression", "reason"),
    [
        ("int8+int8", "applies int8 twice"),
        ("none+int8", "none stands alone"),
        ("float16+int8", "float16 decides the dtype of the whole network and stands last"),
        ("int8+weight_pruning", "int8 decides the dtype of the whole network and stands last"),
        ("weight_pruning+channel_pruning", "channel_pruning trains on and fills the zeros of weight_pruning before it"),
        ("int8_qat+channel_pruning", "int8_qat decides the dtype of the whole network and stands last"),
        ("int8_qat+int8", "int8_qat decides the dtype of the whole network and stands last"),
        ("weight_pruning+my.module:tuned+int8", "my.module:tuned trains on and fills the zeros of weight_pruning"),
    ],
)
def test_parts_that_do_not_combine(compression: str, reason: str) -> None:
    invalid = configuration.why_invalid(replace(PLAIN, compression=compression))
    assert invalid
    assert invalid.startswith(f"compression {compression}")
    assert reason in invalid


@pytest.mark.parametrize(
    ("compression", "ratio", "dtype", "in_float32"),
    [
        ("none", None, "float32", "none"),
        ("int8", None, "int8", "none"),
        ("channel_pruning+int8", 0.5, "int8", "channel_pruning"),
        ("channel_pruning+weight_pruning+float16", 0.5, "float16", "channel_pruning+weight_pruning"),
        ("int8_qat", None, "int8", "int8_qat"),
        ("channel_pruning+int8_qat", 0.5, "int8", "channel_pruning+int8_qat"),
        ("channel_pruning+weight_pruning+int8_qat", 0.5, "int8", "channel_pruning+weight_pruning+int8_qat"),
        ("my.module:tuned+int8", 0.5, "int8", "my.module:tuned"),
    ],
)
def test_parts_that_combine(compression: str, ratio: float | None, dtype: str, in_float32: str) -> None:
    multiple = 8 if "channel_pruning" in compression else None
    stack = replace(PLAIN, compression=compression, ratio=ratio, channel_multiple=multiple)
    assert configuration.why_invalid(stack) is None
    assert (stack.dtype, stack.in_float32) == (dtype, in_float32)
    other = replace(stack, ratio=0.5 if ratio is None else None)
    assert "ratio" in (configuration.why_invalid(other) or "")
    other = replace(stack, channel_multiple=8 if multiple is None else None)
    verb = "takes no" if multiple is None else "needs a"
    assert configuration.why_invalid(other) == f"compression {compression} {verb} channel_multiple"


def test_a_compression_that_mixes_dtypes_says_what_it_may_lose() -> None:
    mixed = replace(PLAIN, compression="int8_mixed", max_drop=0.01)
    assert configuration.why_invalid(mixed) is None
    assert (mixed.dtype, mixed.in_float32, mixed.in_shapes) == ("int8", "none", None)
    assert configuration.why_invalid(replace(mixed, max_drop=None)) == "compression int8_mixed needs a max_drop"
    assert configuration.why_invalid(replace(PLAIN, max_drop=0.01)) == "compression none takes no max_drop"
    assert len({mixed.id, replace(mixed, max_drop=0.02).id, PLAIN.id}) == 3


def test_stacks_on_record_keep_their_names() -> None:
    """An axis that came later is in the name of those stacks alone that have it."""
    stack = Configuration(
        "digits", "resnet18", 0.25, "channel_pruning+int8", 0.5, 8, algorithm="auto", batch=4, tuning_trials=20,
        tuner="template", threads=2, device="rpi4",
    )  # fmt: skip
    assert stack.id == "1e6fe0a36721385530059a626872a12cb9815a687fc05c477254bcf26866d841"


@pytest.mark.parametrize(
    ("compression", "in_shapes"),
    [
        ("int8", "none"),
        ("weight_pruning", "none"),
        ("channel_pruning+weight_pruning+int8", "channel_pruning"),
        ("channel_pruning+int8_qat", "channel_pruning"),
        ("my.module:tuned", None),
    ],
)
def test_some_parts_alone_decide_the_shapes(compression: str, in_shapes: str | None) -> None:
    assert replace(PLAIN, compression=compression).in_shapes == in_shapes


def test_what_a_stack_asks_for() -> None:
    assert (PLAIN.is_tuned, PLAIN.selects, PLAIN.devices) == (False, False, ("local",))
    assert replace(PLAIN, tuning_trials=1).is_tuned
    assert replace(PLAIN, tuning_seconds=1).is_tuned
    assert replace(PLAIN, algorithm="auto").selects
    assert replace(PLAIN, device="left+right").devices == ("left", "right")


def test_an_algorithm_needs_kernels_for_the_dtype_in_the_format() -> None:
    stack = replace(PLAIN, compression="weight_pruning+int8", ratio=0.5, algorithm="winograd")
    assert configuration.why_invalid(stack) == "algorithm winograd has no kernels for int8"
    for dtype in ("float32", "float16", "int8"):
        for algorithm in ("direct", "gemm", "spatial_pack", "auto"):
            compression = "weight_pruning" if dtype == "float32" else f"weight_pruning+{dtype}"
            stack = replace(PLAIN, compression=compression, ratio=0.5, algorithm=algorithm)
            assert configuration.why_invalid(stack) is None
            kernels = ("direct", "gemm", "spatial_pack") if algorithm == "auto" else (algorithm,)
            expected = None
            if not any(dtype in plugins.literal("sparse", name, "DTYPES") for name in kernels):
                expected = f"algorithm {algorithm} has no kernels for {dtype} in format csr"
            assert configuration.why_invalid(replace(stack, format="csr")) == expected


def test_zeros_of_any_part_will_do_for_csr() -> None:
    pruning = {"compression": "channel_pruning+weight_pruning", "ratio": 0.5, "channel_multiple": 8}
    stack = replace(PLAIN, **pruning, format="csr")  # type: ignore[arg-type]
    assert configuration.why_invalid(stack) is None
    without = replace(stack, compression="channel_pruning")
    assert (
        configuration.why_invalid(without) == "format csr needs weight_pruning: channel_pruning leaves no zeros to skip"
    )


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


def test_canonical_json_is_fixed_for_good() -> None:
    value = {"b": [1, 1.0, True, None, "1"], "a": {}}
    expected = (
        '{"dict":{"a":{"dict":{}},"b":[{"int":1},{"float":"0x1.0000000000000p+0"},{"bool":true},null,{"str":"1"}]}}'
    )
    assert canonical(value) == expected


@given(VALUES)
def test_order_of_keys_is_irrelevant(value: Any) -> None:
    assert canonical({"x": 1, "y": value}) == canonical({"y": value, "x": 1})


@given(SCALARS, SCALARS)
def test_equal_digests_mean_equal_values_and_types(left: Any, right: Any) -> None:
    same = type(left) is type(right) and repr(left) == repr(right)
    assert (digest(left) == digest(right)) == same


def test_what_json_cannot_say_is_refused() -> None:
    with pytest.raises(TypeError, match="no canonical JSON"):
        canonical({"path": Path("x")})
    with pytest.raises(TypeError):
        canonical({1: "x"})


def test_a_librarys_network_has_one_width() -> None:
    stack = replace(PLAIN, model="timm:mobilenetv3_small_100", width=1.0)
    assert configuration.why_invalid(stack) is None
    message = "model timm:mobilenetv3_small_100 has no width other than 1, and is asked for at 0.5"
    assert configuration.why_invalid(replace(stack, width=0.5)) == message
