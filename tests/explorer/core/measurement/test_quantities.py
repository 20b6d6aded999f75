from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.core.measurement import quantities
from explorer.core.measurement.quantities import ACCURACY, LATENCY, SIZE, Quantity
from explorer.core.measurement.statistics import Interval

NAMES = st.sampled_from(quantities.QUANTITIES)
DEVICES = st.none() | st.sampled_from(["local", "rpi4", "a board on a shelf"])


@given(NAMES, DEVICES)
def test_a_quantity_is_read_back_from_its_column(name: str, device: str | None) -> None:
    assert Quantity.parse(str(Quantity(name, device))) == Quantity(name, device)


def test_the_columns_have_the_names_that_studies_on_record_have() -> None:
    assert LATENCY.columns == ("latency_ms", "latency_low_ms", "latency_high_ms")
    assert ACCURACY.columns == ("accuracy", "accuracy_low", "accuracy_high")
    assert SIZE.columns == ("size_bytes",)
    assert Quantity("latency_ms", "rpi4").columns == (
        "latency_ms on rpi4",
        "latency_low_ms on rpi4",
        "latency_high_ms on rpi4",
    )
    assert quantities.on_device("build_key", "rpi4") == "build_key on rpi4"
    assert quantities.on_device("build_key", None) == "build_key"


@given(st.sampled_from(quantities.PER_DEVICE), DEVICES, st.floats(0, 1), st.floats(0, 1))
def test_an_interval_is_found_again_in_its_columns(name: str, device: str | None, low: float, width: float) -> None:
    quantity = Quantity(name, device)
    interval = Interval(low + width / 2, low, low + width) if len(quantity.columns) > 1 else Interval(low, low, low)
    columns = quantity.as_columns(interval)
    assert tuple(columns) == quantity.columns
    assert quantity.interval({**columns, "accuracy_key": "k"}) == interval


def test_where_no_interval_is_on_record_both_ends_are_the_value() -> None:
    assert ACCURACY.interval({"accuracy": 0.9}) == Interval(0.9, 0.9, 0.9)
    assert SIZE.interval({"size_bytes": 12}) == Interval(12, 12, 12)
    with pytest.raises(KeyError):
        LATENCY.interval({"accuracy": 0.9})
