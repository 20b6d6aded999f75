"""Programs to tune: found once however often they are called, built as decided, told apart by what they compute."""

from __future__ import annotations

import numpy as np
import pytest

import dlas_ops
from dlas_ops.lowering import Lowered
from dlas_ops.tuning import task_extraction, tuners
from tests.dlas_ops import small_networks as networks

FORMATS = [("float32", "dense"), ("float16", "dense"), ("float32", "csr")]


def lowered(dtype: str = "float32", format: str = "dense") -> Lowered:
    return dlas_ops.lower(networks.repeated(), networks.target(), algorithm="spatial_pack", dtype=dtype, format=format)


def test_equal_programs_are_one_task() -> None:
    made = lowered()
    found = task_extraction.tasks(made, "template", networks.target())
    keys = {task.key: task.calls for task in found}
    assert sum(keys.values()) == 3
    repeated = next(task for task in found if task.calls == 2 or len(found) == 3)
    assert set(repeated.constants) == {1}, "the weights; activations are no constants"
    assert {name for task in found for name in task.names} <= {str(v.name_hint) for v in made.module.get_global_vars()}
    assert [task.key for task in task_extraction.tasks(lowered(), "template", networks.target())] == list(keys)


def test_constants_count_as_often_as_they_are_stored() -> None:
    found = task_extraction.tasks(lowered(), "template", networks.target())
    own = sum(values.nbytes for task in found for values in task.constants.values()) / len(found)
    assert task_extraction.constant_bytes(lowered()) == 3 * own == 3 * 32 * 32 * 9 * 4


@pytest.mark.parametrize("tuner", tuners.implemented())
@pytest.mark.parametrize(
    ("dtype", "format"), [FORMATS[0], *(pytest.param(*each, marks=pytest.mark.nightly) for each in FORMATS[1:])]
)
def test_a_network_of_tuned_programs_computes_the_same(dtype: str, format: str, tuner: str) -> None:
    made, target = lowered(dtype, format), networks.target()
    tasks = task_extraction.tasks(made, tuner, target)
    scheduled = {}
    for task in tasks:
        [decision] = tuners.load(tuner).search(task.function, target, 1).propose(1)
        for name in task.names:
            scheduled[name] = task_extraction.scheduled_by(task.function, target, tuner, decision).with_attr(
                "global_symbol", name
            )
    assert scheduled
    data = networks.random(networks.shape_of(networks.REPEATED))
    expected = networks.run_library(dlas_ops.build(made, target).library, data)
    tuned = networks.run_library(dlas_ops.build(made, target, scheduled).library, data)
    networks.assert_close(tuned, expected, 1e-5 if dtype == "float32" else 1e-2)


def test_what_does_not_fit_is_said_and_costs_nothing_else() -> None:
    task = task_extraction.tasks(lowered(), "template", networks.target())[0]
    [good] = tuners.load("template").search(task.function, networks.target(), 0).propose(1)
    built = task_extraction.build(task.function, networks.target(), "template", [None, {"tile": [99, 1, 1]}, good])
    assert built.symbols == ["candidate_0", None, "candidate_2"]
    assert [error and error[0] for error in built.errors] == [None, "schedule", None]
    assert built.errors[1] is not None
    assert "tile = (99, 1, 1) is not allowed" in built.errors[1][1]


def test_results_are_told_apart() -> None:
    expected = np.linspace(-1, 1, 64, dtype=np.float32)
    assert task_extraction.close([expected * (1 + 1e-6)], [expected])
    assert not task_extraction.close([expected + 1e-3], [expected])
    assert not task_extraction.close([np.full_like(expected, np.nan)], [expected])
    assert task_extraction.close([np.array([3], np.uint8)], [np.array([4], np.uint8)])
    assert not task_extraction.close([np.array([3], np.uint8)], [np.array([5], np.uint8)])
    assert not task_extraction.close([expected, expected * 2], [expected, expected])
