"""Points of a template's space: each proposed once, the rules' own never, next to the best ones, fitted to others."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from dlas_ops.kernels.scheduling import space
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.targets import describe
from dlas_ops.schedule.tunables import Space
from dlas_ops.selection.candidates import programs
from dlas_ops.tuning.tuners import template
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.tensor_programs import program

CONV = Conv(1, 32, 6, 8, 64, (3, 3), padding=(1, 1, 1, 1))
VALUES = st.lists(st.integers(1, 64), min_size=1, max_size=5, unique=True)
SPACES = st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1)


@given(SPACES, st.integers(1, 9), st.randoms(use_true_random=False))
def test_every_point_but_the_rules_is_proposed_once(drawn: dict[str, list[int]], count: int, random: object) -> None:
    search = template.TemplateSearch(drawn, 0)
    size = 1
    for values in drawn.values():
        size *= len(values)
    seen = []
    while batch := search.propose(count):
        assert len(batch) <= count
        for number, decision in enumerate(batch):
            search.learn(json.loads(json.dumps(decision)), None if number % 3 else 1.0 + number)
        seen += batch
    assert len(seen) == size - 1 == len({json.dumps(decision, sort_keys=True) for decision in seen})
    assert {name: values[0] for name, values in drawn.items()} not in seen


def test_what_was_learned_is_not_proposed_and_what_is_near_the_best_is() -> None:
    tiles = [(4, 1), *((size, 1) for size in (1, 2, 8, 16, 32, 64, 128, 256))]
    drawn: Space = {"tile": tiles, "outer": ["points", "channels"]}
    search = template.TemplateSearch(drawn, 0)
    search.learn({"tile": [128, 1], "outer": "points"}, 1e-6)
    search.learn({"tile": [1, 1], "outer": "points"}, None)
    proposed = search.propose(5)
    assert {"tile": [64, 1], "outer": "points"} in proposed
    assert {"tile": [256, 1], "outer": "points"} in proposed
    assert {"tile": [128, 1], "outer": "points"} not in [*proposed, *search.propose(99)]


def test_every_tunable_is_tried_alone_first() -> None:
    drawn: Space = {"tile": [(4, 1), (2, 1), (8, 1)], "outer": ["points", "channels"], "prefetch": [0, 1, 2]}
    rule = {"tile": [4, 1], "outer": "points", "prefetch": 0}
    near = template.TemplateSearch(drawn, 0).propose(5)[:3]  # the others are drawn from all
    assert near == [rule | {"tile": [2, 1]}, rule | {"outer": "channels"}, rule | {"prefetch": 1}]


def test_a_decision_for_another_shape_becomes_one_of_this_programs_space() -> None:
    function = program(networks.target(), CONV, "direct/dense")
    own = space(function, describe(networks.target()))
    known = {"tile": [7, 1, 3], "outer": "points", "unroll": 9, "prefetch": 3}
    fitted = template.transferred(function, networks.target(), known)
    assert fitted is not None
    assert all((tuple(value) if isinstance(value, list) else value) in own[name] for name, value in fitted.items())
    assert fitted["outer"] == "points"
    assert template.schedule(function, networks.target(), fitted) is not None
    assert template.transferred(function, networks.target(), {"panel": 4}) is None


def test_a_program_of_one_schedule_is_not_tuned() -> None:
    assert template.supports(program(networks.target(), CONV, "direct/dense"), networks.target()) is None
    conversions = programs(Problem("convert", CONV, plain=True), networks.target())
    reason = template.supports(next(iter(conversions.values())).function, networks.target())
    assert reason == "its schedule has one value of each tunable"
