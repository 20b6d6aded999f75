"""Defects of TVM and LLVM that lowering, scheduling and compiling work around.

Each test fails on the day its workaround is no longer needed.
Those that take seconds run nightly: no change here, only another version of the library makes them fail.
"""

from __future__ import annotations

import importlib.metadata
import sys

import pytest

from tests.workarounds import run


@pytest.mark.nightly
def test_tvm_still_imports_torch_by_itself() -> None:
    """`explorer.processes.worker.without_torch`: apache-tvm-ffi 0.1.14 imports torch wherever it is installed."""
    assert run("import sys, tvm; sys.exit('torch' in sys.modules)").returncode == 1


def test_the_pin_of_tvm_ffi_is_the_version_installed() -> None:
    """pyproject.toml pins apache-tvm-ffi: 0.1.15.post2 segfaults in every graph save (`tvm.ir.save_json`).

    The newer version cannot be tried beside the pinned one; lift the pin together with apache-tvm's next version, and
    delete this test if `tests/dlas_ops` passes then.
    """
    assert importlib.metadata.version("apache-tvm") == "0.27.0.post1"
    assert importlib.metadata.version("apache-tvm-ffi") == "0.1.14.post0"


def test_tvm_still_looks_up_the_types_of_what_each_primitive_of_a_schedule_takes() -> None:
    """`dlas_ops._tvm`: TVM 0.27 does so in Python; its own schedule refuses the same arguments without."""
    from tvm.s_tir.schedule._type_checker import type_checked

    from dlas_ops._tvm import tvm

    def primitive(loop: int) -> None: ...

    with pytest.raises(TypeError, match="primitive"):
        type_checked(primitive)("loop")
    assert not any(hasattr(primitive, "__wrapped__") for primitive in vars(tvm.s_tir.Schedule).values())
    te = tvm.te
    data = te.placeholder((16,), "float32")
    schedule = tvm.s_tir.Schedule(te.create_prim_func([data, te.compute((16,), lambda i: data[i] + 1, name="sums")]))
    with pytest.raises(TypeError):
        schedule.split("sums", [None, 4])


def test_tvm_still_sees_no_element_wise_operator_where_data_is_an_index() -> None:
    """`placement.tables.FuseTables`: the analysis of TVM 0.27 says so itself of what it is told to be element-wise."""
    from dlas_ops._tvm import tvm

    te, relax = tvm.te, tvm.relax
    data, table = te.placeholder((16,), "uint8"), te.placeholder((256,), "uint8")
    function = te.create_prim_func([data, table, te.compute((16,), lambda i: table[data[i].astype("int32")])])
    module = tvm.IRModule({"main": function.with_attr("op_pattern", 0)})
    assert int(relax.transform.AnnotateTIROpPattern()(module)["main"].attrs["op_pattern"]) != 0


def test_tvm_still_imports_intrinsics_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dlas_ops.tuning.tuners._metaschedule.without_intrinsics`: TVM 0.27 imports them with every tuning context."""
    from tvm.s_tir import meta_schedule as ms

    from dlas_ops.tuning.tuners._metaschedule import UNUSED, without_intrinsics

    monkeypatch.setitem(sys.modules, UNUSED, None)
    with pytest.raises(ImportError):
        ms.TuneContext()
    monkeypatch.delitem(sys.modules, UNUSED)
    with without_intrinsics():
        ms.TuneContext()
    assert UNUSED not in sys.modules


def test_tvm_still_lowers_no_axis_of_64_bits_in_a_loop_of_32(monkeypatch: pytest.MonkeyPatch) -> None:
    """`dlas_ops.kernels.sparse.direct._one_row`: TVM 0.27 compares the two after simplifying a condition."""
    import dlas_ops
    from dlas_ops.kernels.shared.convolution import Conv
    from dlas_ops.kernels.sparse import direct
    from tests.dlas_ops import small_networks as networks
    from tests.dlas_ops.named_targets import named

    conv = Conv(3, 1, 7, 37, 1, (1, 1), (2, 1))
    node = networks.conv_node(conv, ["x", "w"], "y")
    network = networks.model([node], networks.shape_of(conv), {"w": networks.weights_of(conv)})
    lowered = dlas_ops.lower(network, named("x86-64-v3"), algorithm="direct", format="csr")
    assert dlas_ops.build(lowered, named("x86-64-v3")).library
    monkeypatch.setattr(direct, "_one_row", lambda sch, copy: False)
    with pytest.raises(TypeError, match="mismatched types"):
        dlas_ops.build(lowered, named("x86-64-v3"))


def test_tvm_still_takes_the_sums_of_a_tile_from_a_heap() -> None:
    """`dlas_ops.passes.pipeline._on_stack`: TVM 0.27 allocates buffers of 1 KiB and more in its run time."""
    from dlas_ops._tvm import tvm
    from dlas_ops.passes.pipeline import PIPELINE
    from tests.dlas_ops.named_targets import named

    te = tvm.te
    data = te.placeholder((64, 512), "float32", "data")
    doubled = te.compute(data.shape, lambda i, j: data[i, j] * 2.0, name="doubled")
    sch = tvm.s_tir.Schedule(te.create_prim_func([data, te.compute(data.shape, lambda i, j: doubled[i, 511 - j])]))
    block = sch.get_sblock("doubled")
    sch.compute_at(block, sch.get_loops(sch.get_sblock("compute"))[0])
    sch.set_scope(block, 0, "local")
    target = named("x86-64-v3")
    texts = [
        tvm.compile(sch.mod, target, tir_pipeline=pipeline).mod.inspect_source("asm")
        for pipeline in ("s_tir", PIPELINE)
    ]
    assert ["BackendAllocWorkspace" in text for text in texts] == [True, False]


def test_tvm_still_stores_no_vector_of_bfloat16_whose_numbers_are_the_same() -> None:
    """`dlas_ops.passes.lanes` leaves such a loop as it is."""
    from dlas_ops._tvm import tvm

    held = tvm.te.placeholder((16,), "bfloat16")
    filled = tvm.te.compute((16,), lambda _: held[0], name="filled")
    schedule = tvm.s_tir.Schedule(tvm.te.create_prim_func([held, filled]))
    schedule.vectorize(*schedule.get_loops(schedule.get_sblock("filled")))
    with pytest.raises(TypeError, match="dtype mismatch on BufferStore"):
        tvm.compile(schedule.mod, "llvm")


def test_tvm_still_packs_gathered_bytes_in_opencl_as_in_cuda() -> None:
    """`dlas_ops.schedule.threads._gathers_bytes`: TVM 0.27 joins them by shifts, to one int."""
    from dlas_ops._tvm import tvm

    te = tvm.te
    data = te.placeholder((4, 64), "uint8", "data")
    turned = te.compute((64, 4), lambda i, j: data[j, i], name="turned")
    sch = tvm.s_tir.Schedule(te.create_prim_func([data, turned]))
    row, column = sch.get_loops(sch.get_sblock("turned"))
    sch.bind(row, "threadIdx.x")
    sch.vectorize(column)
    target = tvm.target.Target({"kind": "opencl", "host": "llvm"})
    source = tvm.compile(sch.mod, target).mod.imports[0].inspect_source("cl")
    assert "<< 24" in source


def test_tvm_still_makes_no_vector_of_one_byte_in_cuda() -> None:
    """`dlas_ops.kernels.operators.grouped._dot` widens bytes before: TVM 0.27 takes constants only."""
    from dlas_ops._tvm import tvm

    te = tvm.te
    data = te.placeholder((64,), "int8", "data")
    copied = te.compute((64, 4), lambda i, _: data[i], name="copied")
    sch = tvm.s_tir.Schedule(te.create_prim_func([data, copied]))
    row, column = sch.get_loops(sch.get_sblock("copied"))
    sch.bind(row, "threadIdx.x")
    sch.vectorize(column)
    with pytest.raises(Exception, match="has_value"):
        tvm.compile(sch.mod, tvm.target.Target({"kind": "cuda", "arch": "sm_87", "host": "llvm"}))


def test_a_split_still_changes_the_program_that_a_schedule_was_made_of() -> None:
    """`dlas_ops.tuning.tuners._gpu_rules._bind` fuses first: after a new root, TVM 0.27 splits the old one's loops."""
    from dlas_ops._tvm import tvm

    te = tvm.te
    data = te.placeholder((4, 8), "float32", "data")
    more = te.compute((4, 8), lambda i, j: data[i, j] + 1.0, name="more")
    module = tvm.IRModule({"main": te.create_prim_func([data, te.compute((4, 8), lambda i, j: more[i, j] * 2.0)])})
    before = module.script()
    for fused in (True, False):
        sch = tvm.s_tir.Schedule(module)
        sch.annotate(sch.get_sblock("root"), "changed", 1)
        if fused:
            sch.fuse(sch.get_loops(sch.get_sblock("more"))[0])
        sch.split(sch.get_loops(sch.get_sblock("more"))[1], [None, 4])
        assert (module.script() == before) == fused


def test_metaschedule_still_makes_pipelines_of_one_step_that_cannot_be_built() -> None:
    """`dlas_ops.tuning.tuners._gpu_rules._without_short_pipelines` removes them."""
    from tvm.s_tir import meta_schedule as ms

    from dlas_ops._tvm import tvm
    from dlas_ops.tuning.tuners._metaschedule import without_intrinsics

    te, k = tvm.te, tvm.te.reduce_axis((0, 1), "k")
    a, b = (te.placeholder((8, 8), "float32", name) for name in "ab")
    product = te.compute((8, 8), lambda i, j: te.sum(a[i, k] * b[k, j], [k]), name="product")
    target = tvm.target.Target({"kind": "cuda", "arch": "sm_87", "host": "llvm"})
    rule = ms.schedule_rule.MultiLevelTiling(
        "SSSRRSRS", ["blockIdx.x", "vthread.x", "threadIdx.x"], 2, [1],
        ms.schedule_rule.ReuseType("must", [4], "shared"), ms.schedule_rule.ReuseType("must", [3], "local"),
    )  # fmt: skip
    initial = ms.postproc.RewriteReductionBlock()
    space = ms.space_generator.PostOrderApply(sch_rules=[rule], postprocs=[initial], mutator_probs={})
    module = tvm.IRModule({"main": te.create_prim_func([a, b, product])})
    with without_intrinsics():
        context = ms.TuneContext(mod=module, target=target, space_generator=space, num_threads=1)
    made = [sch for sch in context.generate_design_space() if "software_pipeline" in sch.mod.script()]
    assert made
    for sch in made:
        assert initial.apply(sch)
        with pytest.raises(Exception, match="different size"):
            tvm.compile(sch.mod, target)


def test_llvm_still_calls_memcpy_for_what_is_copied_in_a_loop_over_single_channels() -> None:
    """`dlas_ops.kernels.algorithms.winograd._multiply_derived` copies two channels a step: LLVM 22 knows the idiom."""
    from dlas_ops._tvm import tvm
    from dlas_ops.passes.pipeline import PIPELINE
    from tests.dlas_ops.named_targets import named

    te, target = tvm.te, named("znver4")
    texts = []
    for pair in (1, 2):
        data = te.placeholder((16, 16, 16), "float32", "data")
        sch = tvm.s_tir.Schedule(te.create_prim_func([data, tvm.topi.identity(data)]))
        _, channel, lane = sch.get_loops(sch.get_sblock("compute"))
        _, inner = sch.split(channel, [None, pair])
        sch.unroll(inner)
        sch.vectorize(lane)
        library = tvm.compile(sch.mod, target, tir_pipeline=PIPELINE)
        texts.append(library.mod.inspect_source("asm"))
    assert ["memcpy" in text for text in texts] == [True, False]


def test_the_onnx_front_end_still_forgets_the_names_of_weights() -> None:
    """`dlas_ops.onnx.names.WeightNames` finds them by their values: TVM 0.27 makes nameless constants of them."""
    from tvm.relax.frontend.onnx import from_onnx

    from dlas_ops._tvm import tvm
    from dlas_ops.kernels.shared.convolution import Conv
    from tests.dlas_ops import small_networks as networks

    conv = Conv(1, 4, 4, 4, 4, (1, 1))
    node = networks.conv_node(conv, ["x", "the_weight"], "y")
    network = networks.model([node], networks.shape_of(conv), {"the_weight": networks.weights_of(conv)})
    assert "the_weight" not in tvm.ir.save_json(from_onnx(network, keep_params_in_input=False))
