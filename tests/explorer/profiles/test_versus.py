"""Two profiles: what is expected of every layer from its work, what came, and that the parts of the excess add up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.profiles.versus import versus
from tests.explorer.profiles.drawn import conversion, layer, profile

TIMES = st.floats(1.0, 1000.0)
MACS = st.integers(10**5, 10**8)


@given(
    layers=st.lists(st.tuples(TIMES, TIMES, MACS, MACS), min_size=1, max_size=6),
    conversions=st.tuples(TIMES, TIMES),
    rests=st.tuples(TIMES, TIMES),
)
def test_the_parts_of_the_gap_add_up(
    layers: list[tuple[float, float, int, int]], conversions: tuple[float, float], rests: tuple[float, float]
) -> None:
    before, after = (
        profile(
            conversion(conversions[index]),
            *[layer(str(number), each[index], macs=int(each[2 + index])) for number, each in enumerate(layers)],
            rest_us=rests[index],
        )
        for index in (0, 1)
    )
    held = versus(after, before)
    assert held.expected == pytest.approx(sum(each[3] for each in layers) / sum(each[2] for each in layers))
    excess = sum(pair.excess_us for pair in held.pairs)
    assert excess + held.elsewhere_us + held.not_shrunk_us == pytest.approx(held.gap_us, rel=1e-6, abs=1e-3)


def test_zeros_and_width_count_as_work_that_fell() -> None:
    before = profile(layer("a", 100.0), layer("b", 100.0))
    pruned = versus(profile(layer("a", 100.0, nonzeros=2500), layer("b", 100.0)), before)
    assert [pair.expected for pair in pruned.pairs] == [0.25, 1.0]
    assert pruned.expected == pytest.approx(0.625)
    narrow = versus(profile(layer("a", 30.0, dtype="int8"), layer("b", 100.0)), before)
    assert [pair.expected for pair in narrow.pairs] == [0.25, 0.25], "that b is not narrowed was not expected"


def test_layers_of_one_network_alone_are_outside() -> None:
    held = versus(profile(layer("a", 50.0), layer("new", 20.0)), profile(layer("a", 100.0), layer("old", 10.0)))
    assert [pair.own.name for pair in held.pairs] == ["a"]
    assert held.without.base_us == pytest.approx(12.0)
    assert held.without.own_us == pytest.approx(22.0)
    assert held.bytes_ratio == 1.0
    assert held.pairs[0].achieved.value == pytest.approx(0.5)
