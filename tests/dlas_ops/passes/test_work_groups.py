"""Generated kernels declare what a work-group is said to take, and none is launched that a GPU has no room for."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc
from dlas_ops.kernels.scheduling import schedule_function, space
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.passes.work_groups import WorkGroup, excess, work_groups
from dlas_ops.processor.gpus import Gpu, describe_gpu
from tests.dlas_ops import opencl
from tests.dlas_ops.tensor_programs import program, scheduled

CONV = Conv(1, 20, 14, 14, 40, (3, 3), padding=(1, 1, 1, 1))
# Its weights for one input channel, of all the output channels that a work-group computes, are 49 KiB.
WIDE = Conv(1, 8, 28, 28, 512, (7, 7), padding=(3, 3, 3, 3))
ADRENO = opencl.target("adreno")
GPU: Gpu = describe_gpu(ADRENO)
ALGORITHMS = ["direct/dense", "gemm/dense", "spatial_pack/dense", "winograd/dense"]
BYTES = {"float": 4, "float4": 16, "char": 1, "uchar": 1, "uchar4": 4, "char4": 4}


def declared(function: PrimFunc) -> list[int]:
    """Return the bytes of shared memory that each kernel of a scheduled program declares."""
    library = tvm.compile(tvm.IRModule({"main": function}), ADRENO, tir_pipeline=PIPELINE)
    source = str(library.mod.imports[0].inspect_source("cl"))
    kernels = re.split(r"(?=__kernel void \w+\([^;{]*\) \{)", source)[1:]
    arrays = [re.findall(r"__local (\w+) \w+\[(\d+)\];", kernel) for kernel in kernels]
    return [sum(BYTES[dtype] * int(size) for dtype, size in each) for each in arrays]


@pytest.mark.parametrize(
    ("name", "dtype"), [*((name, "float32") for name in ALGORITHMS), *((name, "int8") for name in ALGORITHMS[:3])]
)
def test_shared_memory_is_what_kernels_declare(name: str, dtype: str) -> None:
    made = scheduled(program(ADRENO, CONV, name, dtype=dtype), ADRENO)
    found = work_groups(made)
    assert sorted(group.shared_bytes for group in found) == sorted(declared(made))
    assert any(group.shared_bytes for group in found)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_threads_are_those_bound(name: str) -> None:
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": scheduled(program(ADRENO, CONV, name), ADRENO)}))
    text = sch.mod["main"].script()
    bound = [int(extent) for extent in re.findall(r'thread_binding\((\d+), thread="threadIdx\.x"\)', text)]
    assert {group.threads for group in work_groups(sch.mod["main"])} == set(bound)
    assert all(threads <= GPU.threads for threads in bound)


def test_threads_of_several_axes_multiply() -> None:
    x = tvm.te.placeholder((8, 16, 4), "float32")
    y = tvm.te.compute((8, 16, 4), lambda *index: x[index] + 1.0, name="y")
    sch = tvm.s_tir.Schedule(tvm.IRModule({"main": tvm.te.create_prim_func([x, y])}))
    for loop, thread in zip(sch.get_loops("y"), ("blockIdx.x", "threadIdx.y", "threadIdx.x"), strict=True):
        sch.bind(loop, thread)
    assert work_groups(sch.mod["main"]) == [WorkGroup(64, 0)]
    assert excess(sch.mod["main"], replace(GPU, threads=64)) == ""
    assert excess(sch.mod["main"], replace(GPU, threads=63)) == (
        "a work-group would have 64 threads, and the GPU's have 63"
    )


@pytest.mark.parametrize("name", ["direct/dense", "spatial_pack/dense"])
def test_rules_that_do_not_fit_take_no_shared_memory(name: str) -> None:
    function = program(ADRENO, WIDE, name)
    roomy = replace(GPU, shared_bytes=128 << 10)
    *_, fitting = work_groups(schedule_function(function, roomy))
    assert fitting.shared_bytes > GPU.shared_bytes, "else this tests nothing"
    *_, taken = work_groups(schedule_function(function, GPU))
    assert taken == WorkGroup(fitting.threads, 0)
    [tile, *_], [shared, *_] = space(function, GPU).values()
    with pytest.raises(ValueError, match=f"would take {fitting.shared_bytes} bytes of shared memory"):
        schedule_function(function, GPU, {"tile": tile, "shared": shared})
