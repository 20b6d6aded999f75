"""The cost model: a guess until it has seen enough, then what looks like the fastest schedules is scored highest."""

from __future__ import annotations

import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import MeasureCandidate, TuneContext
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.tuning.tuners._cost import FEWEST, CostModel
from dlas_ops.tuning.tuners._metaschedule import without_intrinsics
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.tensor_programs import program

FUNCTION = program("znver4", Conv(1, 16, 8, 8, 32, (1, 1)), "direct/dense")
TILES = (1, 2, 4, 8)


def candidate(tile: int, vectors: bool) -> MeasureCandidate:
    """Return a schedule with so many rows in a tile, its channels in vectors or not."""
    from tvm.s_tir import meta_schedule as ms

    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": FUNCTION}))
    *_, row, column, channel, _, _, depth = sch.get_loops(sch.get_sblock("direct"))
    _, inner = sch.split(row, [None, tile])
    outside, vector = sch.split(channel, [None, 16])
    sch.reorder(column, outside, depth, inner, vector)
    if vectors:
        sch.vectorize(vector)
    return ms.search_strategy.MeasureCandidate(sch, ms.arg_info.ArgInfo.from_prim_func(FUNCTION))


@pytest.fixture(scope="module")
def context() -> TuneContext:
    """MetaSchedule's context of the program."""
    from tvm.s_tir import meta_schedule as ms

    with without_intrinsics():
        return ms.TuneContext(tvm.IRModule({"main": FUNCTION}), target=named("znver4"))


def scores(model: CostModel, context: TuneContext, candidates: list[MeasureCandidate]) -> list[float]:
    return [float(score) for score in model.handle.predict(context, candidates)]


def test_a_few_schedules_teach_nothing_and_a_seed_gives_the_same_guess(context: TuneContext) -> None:
    candidates = [candidate(tile, True) for tile in TILES]
    models = [CostModel(context, seed) for seed in (0, 0, 1)]
    for model in models:
        for tile in TILES[: FEWEST - 1]:
            model.learn(candidate(tile, True), 1e-3)
        for tile in TILES:
            model.learn(candidate(tile, False), None)  # failures count no more than nothing
    one, same, other = (scores(model, context, candidates) for model in models)
    assert one == same != other
    assert all(0 <= score < 1 for score in one)


def test_what_looks_like_the_fastest_is_scored_highest(context: TuneContext) -> None:
    model = CostModel(context, 0)
    for tile in (1, 4, 8):
        model.learn(candidate(tile, True), 1e-4)
        model.learn(candidate(tile, False), 1e-3)
    fast, slow = scores(model, context, [candidate(2, True), candidate(2, False)])
    assert 1 >= fast > 0.8
    assert 0.4 > slow >= 0.1


def test_failures_are_the_slowest_of_all(context: TuneContext) -> None:
    model = CostModel(context, 0)
    for tile in TILES:
        model.learn(candidate(tile, True), 1e-3)
        model.learn(candidate(tile, False), None)
    fast, failing = scores(model, context, [candidate(2, True), candidate(2, False)])
    assert fast > 0.8
    assert failing < 0.2


def test_what_is_learned_later_counts_too(context: TuneContext) -> None:
    model, asked = CostModel(context, 0), [candidate(2, True), candidate(2, False)]
    for tile in TILES:
        model.learn(candidate(tile, True), 1e-3)
    before = scores(model, context, asked)
    for tile in TILES:
        model.learn(candidate(tile, False), 1e-4)
    after = scores(model, context, asked)
    assert before == [1, 1]
    assert after[1] > after[0]
