"""Programs that run and evict in turns: each does what it is to do, and only runs are timed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes import eviction
from dlas_ops.passes.eviction import EVICTS, LINE, RUNS, Eviction, evicted_bytes, in_turns, is_gpu, to_time
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.processor.cpus import describe_cpu
from dlas_ops.processor.targets import describe
from dlas_ops.selection.candidates import FILL
from tests import opencl
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops import tensor_programs
from tests.dlas_ops.opencl import POCL

CONV = Conv(1, 20, 9, 9, 24, (3, 3), padding=(1, 1, 1, 1))


@pytest.fixture(scope="module")
def program() -> tuple[Any, list[Any]]:
    """A convolution as a function of a library, by itself and in turns, and its arguments."""
    function = tensor_programs.program(networks.target(), CONV, "direct/dense")
    scheduled = tensor_programs.scheduled(function, networks.target())
    both = {"alone": scheduled, "in_turns": in_turns(scheduled)}
    module = tvm.IRModule({name: each.with_attr("global_symbol", name) for name, each in both.items()})
    drawn = np.random.default_rng(0)
    shapes = [tuple(int(size) for size in parameter.ty.shape) for parameter in function.params]
    arrays = [tvm.runtime.tensor(drawn.random(shape, np.float32)) for shape in shapes]
    return tvm.compile(module, networks.target(), tir_pipeline=PIPELINE).jit(), arrays


def test_runs_and_evictions_take_turns(program: tuple[Any, list[Any]]) -> None:
    library, arrays = program
    library["alone"](*arrays)
    expected = arrays[-1].numpy()
    drawn = np.random.default_rng(0).random((2, 300, LINE), np.float32)
    memory, sums = tvm.runtime.tensor(drawn), tvm.runtime.tensor(np.zeros((2, LINE), np.float32))
    turn = tvm.runtime.tensor(np.array([EVICTS], np.int32))
    zeros = np.zeros_like(expected)
    for _ in range(2):
        arrays[-1].copyfrom(zeros)
        library["in_turns"](*arrays, turn, memory, sums)
        assert turn.numpy() == RUNS
        assert np.array_equal(arrays[-1].numpy(), zeros)
        np.testing.assert_allclose(sums.numpy(), drawn.sum(axis=1), rtol=1e-5)
        sums.copyfrom(np.zeros((2, LINE), np.float32))
        library["in_turns"](*arrays, turn, memory, sums)
        assert turn.numpy() == EVICTS
        assert np.array_equal(arrays[-1].numpy(), expected)
        assert not sums.numpy().any()


def test_only_runs_are_timed_each_after_an_eviction(program: tuple[Any, list[Any]]) -> None:
    library, arrays = program
    taken = Eviction(1 << 20, 2, tvm.cpu(), tvm.get_global_func(FILL))
    seen: list[float] = []

    class Library:
        def time_evaluator(self, *arguments: Any, **options: Any) -> Any:
            timed = library.time_evaluator(*arguments, **options)

            def evaluator(*given: Any) -> Any:
                found = timed(*given)
                seen.extend(found.results)
                return found

            return evaluator

    taken.run(library["in_turns"], arrays)  # whoever's turn it was
    for _ in range(2):
        seen.clear()
        assert taken.timer(Library(), "in_turns", 4)(arrays) == seen[::2]
        assert len(seen) == 7  # four runs, three evictions between them; TVM does not time the first call, an eviction


@opencl.needed
def test_a_gpu_copies_memory_before_each_run() -> None:
    function = tensor_programs.program(POCL, CONV, "direct/dense")
    program = to_time(tensor_programs.scheduled(function, POCL), describe(POCL))
    assert len(program.params) == len(function.params), "it takes no turns"
    module = tvm.IRModule({"main": program.with_attr("global_symbol", "main")})
    library = tvm.compile(module, POCL, tir_pipeline=PIPELINE).jit()
    device = tvm.device("opencl", 0)
    taken = Eviction(1 << 20, 2, device, tvm.get_global_func(FILL))
    arrays = [taken.array(*each) for each in _arguments(function)]
    asked: dict[str, Any] = {}

    class Library:
        def time_evaluator(self, *arguments: Any, **options: Any) -> Any:
            asked.update(options)
            return library.time_evaluator(*arguments, **options)

    seconds = taken.timer(Library(), "main", 4)(arrays)
    assert len(seconds) == 4
    assert min(seconds) > 0
    assert asked == {"number": 1, "repeat": 4, "cache_flush_bytes": 1 << 19}
    taken.run(library["main"], arrays)
    expected = arrays[-1].numpy()
    arrays[-1].copyfrom(np.zeros_like(expected))
    taken.run(library["main"], arrays)
    assert expected.any()
    assert np.array_equal(arrays[-1].numpy(), expected)


@opencl.needed
def test_a_gpu_is_timed_over_rpc(tmp_path: Path) -> None:
    function = tensor_programs.program(POCL, CONV, "direct/dense")
    program = to_time(tensor_programs.scheduled(function, POCL), describe(POCL))
    module = tvm.IRModule({"main": program.with_attr("global_symbol", "main")})
    tvm.compile(module, POCL, tir_pipeline=PIPELINE).export_library(str(tmp_path / "candidates.tar"))
    session = tvm.rpc.LocalSession()
    session.upload(str(tmp_path / "candidates.tar"))
    library = session.load_module("candidates.tar")
    taken = Eviction(1 << 20, 2, session.device("opencl"), session.get_function(FILL))
    arrays = [taken.array(*each) for each in _arguments(function)]
    seconds = taken.timer(library, "main", 4)(arrays)
    assert len(seconds) == 4
    assert min(seconds) > 0
    taken.run(library["main"], arrays)
    assert arrays[-1].numpy().any()


def test_gpus_are_told_from_cpus_over_rpc_too() -> None:
    session = tvm.rpc.LocalSession()
    for device in (tvm, session):
        assert not is_gpu(device.device("cpu", 0))
        assert is_gpu(device.device("opencl", 0))
        assert is_gpu(device.device("cuda", 0))


def _arguments(function: Any) -> list[tuple[list[int], str]]:
    kinds = [parameter.ty for parameter in function.params]
    return [([int(size) for size in kind.shape], str(kind.dtype)) for kind in kinds]


def test_as_much_is_evicted_as_a_network_reads() -> None:
    cpu = replace(describe_cpu(networks.target()), l2_bytes=2 << 20)
    mebibytes = [evicted_bytes(size << 20, cpu) >> 20 for size in (0, 1, 5, 12, 17, 45, 64, 80, 1000)]
    assert mebibytes == [4, 4, 6, 12, 24, 48, 64, 96, eviction.MOST >> 20]
    assert evicted_bytes((64 << 20) + 1, cpu) == 96 << 20
