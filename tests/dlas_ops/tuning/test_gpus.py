"""Tuning on a GPU: choices are drawn, refused before they are built if they do not fit, built and measured."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops._types import Array, Target
from dlas_ops.kernels import scheduling
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.eviction import Eviction
from dlas_ops.processor.targets import describe, native_target
from dlas_ops.selection.candidates import FILL
from dlas_ops.tuning import task_extraction, tuners
from dlas_ops.tuning.task_extraction import Task
from dlas_ops.tuning.tuners import template
from tests import opencl
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.opencl import POCL

ADRENO = tvm.target.Target({"kind": "opencl", "device": "adreno", "host": native_target()})
TEMPLATE = tuners.load("template")


def tasks(target: Target, algorithm: str = "spatial_pack") -> list[Task]:
    lowered = dlas_ops.lower(networks.repeated(), target, algorithm=algorithm)
    return task_extraction.tasks(lowered, "template", target)


class OnGpu:
    """Candidates of a task, on the OpenCL device of this machine."""

    def __init__(self, task: Task, target: Target, decisions: Sequence[Any]) -> None:
        self.built = task_extraction.build(task.function, target, "template", decisions)
        assert self.built.library is not None
        self.library = self.built.library.jit()
        self.eviction = Eviction(1 << 16, 1, tvm.device("opencl", 0), tvm.get_global_func(FILL))
        self.arrays = [self.eviction.array(*argument) for argument in task.arguments]

    def computed(self) -> list[Array]:
        """Return what each candidate that was built computes."""
        found = []
        for symbol in filter(None, self.built.symbols):
            self.arrays[-1].copyfrom(np.zeros(self.arrays[-1].shape, np.float32))
            self.eviction.run(self.library[symbol], self.arrays)
            found.append(np.asarray(self.arrays[-1].numpy()))
        return found

    def seconds(self) -> list[float | None]:
        """Return the median seconds of each candidate, None of one that was not built."""
        timers = [symbol and self.eviction.timer(self.library, symbol, 5) for symbol in self.built.symbols]
        return [statistics.median(timer(self.arrays)) if timer else None for timer in timers]


@opencl.needed
def test_choices_are_drawn_measured_and_the_best_one_runs() -> None:
    task = tasks(POCL)[0]
    search = TEMPLATE.search(task.function, POCL, 0)
    measured: list[tuple[float, Any]] = []
    for _ in range(2):  # the second draws neighbours of the best of the first
        decisions = [None, *search.propose(4)]
        assert len(decisions) == 5
        on_gpu = OnGpu(task, POCL, decisions)
        assert on_gpu.built.errors == [None] * 5
        expected, *others = on_gpu.computed()
        assert expected.any()
        assert all(task_extraction.close([other], [expected]) for other in others)
        for decision, seconds in zip(decisions, on_gpu.seconds(), strict=True):
            assert seconds is not None
            assert seconds > 0
            measured.append((seconds, decision))
            if decision is not None:
                search.learn(decision, seconds)
    _, decision = min((each for each in measured if each[1] is not None), key=lambda each: each[0])
    scheduled = task_extraction.scheduled_by(task.function, POCL, "template", decision)
    lowered = dlas_ops.lower(networks.repeated(), POCL, algorithm="spatial_pack")
    programs = {name: scheduled.with_attr("global_symbol", name) for name in task.names}
    library = dlas_ops.build(lowered, POCL, programs).library
    data = networks.random(networks.shape_of(networks.REPEATED))
    networks.assert_close(networks.run_on_gpu(library, data), networks.run_onnxruntime(networks.repeated(), data))


@opencl.needed
@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["direct", "gemm", "spatial_pack", "winograd"])
def test_choices_with_work_groups_and_shared_memory_compute_the_same(algorithm: str) -> None:
    conv = Conv(1, 32, 12, 16, 32, (3, 3), padding=(1, 1, 1, 1))
    lowered = dlas_ops.lower(networks.one_layer(conv), ADRENO, algorithm=algorithm)
    [task] = task_extraction.tasks(lowered, "template", ADRENO)
    drawn = TEMPLATE.search(task.function, ADRENO, 1).propose(4)
    decisions = [{**decision, "shared": number % 2 == 0} for number, decision in enumerate(drawn)]
    on_gpu = OnGpu(task, ADRENO, [None, *decisions])
    expected, *others = on_gpu.computed()
    assert len(others) == 4, on_gpu.built.errors
    assert all(task_extraction.close([other], [expected]) for other in others)


GROUPED = networks.one_layer(Conv(1, 16, 9, 8, 32, (3, 3), padding=(1, 1, 1, 1), groups=4))
MATRIX = helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
DENSE = networks.model([MATRIX], (1, 200), {"w": networks.random((20, 200), 2)})
ROWS = networks.model([MATRIX], (3, 200), {"w": networks.random((20, 200), 2)})


@opencl.needed
@pytest.mark.parametrize(
    ("network", "target", "tunable"),
    [(GROUPED, POCL, "tile"), (GROUPED, ADRENO, "tile"), (DENSE, ADRENO, "parts"), (ROWS, POCL, "tile")],
    ids=["grouped on a processor", "grouped", "dense", "rows on a processor"],
)
def test_every_choice_of_other_layers_computes_the_same(network: ModelProto, target: Target, tunable: str) -> None:
    [task] = task_extraction.tasks(dlas_ops.lower(network, target, algorithm="direct"), "template", target)
    space = scheduling.space(task.function, describe(target))
    assert list(space) == [tunable]
    assert len(space[tunable]) > 1
    decisions = [{tunable: template.plain(value)} for value in space[tunable][1:]]
    on_gpu = OnGpu(task, target, [None, *decisions])
    assert on_gpu.built.errors == [None] * (1 + len(decisions))
    expected, *others = on_gpu.computed()
    assert expected.any()
    assert all(task_extraction.close([other], [expected]) for other in others)


@pytest.mark.parametrize("algorithm", ["direct", "gemm", "spatial_pack", "winograd"])
def test_most_choices_are_sensible(algorithm: str) -> None:
    conv = Conv(1, 64, 28, 28, 64, (3, 3), padding=(1, 1, 1, 1))
    lowered = dlas_ops.lower(networks.one_layer(conv), ADRENO, algorithm=algorithm)
    [task] = task_extraction.tasks(lowered, "template", ADRENO)
    drawn = TEMPLATE.search(task.function, ADRENO, 0).propose(20)
    assert len(drawn) == 20
    refused = []
    for decision in drawn:
        try:
            TEMPLATE.schedule(task.function, ADRENO, decision)
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) <= 4
    assert all("bytes of shared memory" in reason for reason in refused)


def test_a_choice_that_does_not_fit_is_refused_before_it_is_built() -> None:
    wide = Conv(1, 8, 28, 28, 512, (7, 7), padding=(3, 3, 3, 3))
    lowered = dlas_ops.lower(networks.one_layer(wide), ADRENO, algorithm="direct")
    [task] = task_extraction.tasks(lowered, "template", ADRENO)
    tiles = scheduling.space(task.function, describe(ADRENO))["tile"]
    widest = max(tiles, key=lambda tile: int(tile[0][2]))
    decisions = [{"tile": template.plain(widest), "shared": shared} for shared in (True, False)]
    built = task_extraction.build(task.function, ADRENO, "template", decisions)
    assert built.symbols == [None, "candidate_1"]
    error, none = built.errors
    assert none is None
    assert error is not None
    assert error[0] == "schedule"
    assert "bytes of shared memory, and the GPU has 16384" in error[1]


def test_decisions_are_plain_and_transferred_to_other_shapes() -> None:
    task, other = tasks(ADRENO)[0], tasks(ADRENO, "direct")[0]
    [decision] = TEMPLATE.search(task.function, ADRENO, 0).propose(1)
    assert isinstance(decision["tile"][0], list)
    moved = TEMPLATE.transferred(other.function, ADRENO, decision)
    assert moved is not None
    TEMPLATE.schedule(other.function, ADRENO, moved)


def test_every_tuner_tunes_for_cpus_and_gpus() -> None:
    targets = (networks.target(), POCL, ADRENO)
    assert [tuners.load(name).refuses(each) for name in tuners.implemented() for each in targets] == [None] * 6


def test_no_tasks_are_planned_for_a_target_that_a_tuner_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = dlas_ops.lower(networks.repeated(), POCL, algorithm="direct")
    monkeypatch.setattr(TEMPLATE, "refuses", lambda target: "it tunes nothing")
    with pytest.raises(ValueError, match="it tunes nothing"):
        task_extraction.tasks(lowered, "template", POCL)
