"""Workarounds for defects of libraries: each test fails on the day its workaround is no longer needed.

Those that take seconds run nightly: no change here, only another version of the library makes them fail.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock, call

import optuna
import pytest
from optuna.storages import RDBStorage
from PIL import Image
from scipy.stats import qmc

from tests import ROOT
from tests.data_sets import tiff


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def tagged(path: Path) -> list[str]:
    """Return the comments in a file that begin with ``# Workaround:``, each joined to one line."""
    comments = re.findall(r"^ *# Workaround:.*\n(?: *#(?! Workaround:).*\n)*", path.read_text(), re.MULTILINE)
    return [" ".join(line.strip().removeprefix("# ") for line in comment.splitlines()) for comment in comments]


def test_every_workaround_says_of_what_and_those_of_the_explorer_have_a_test_that_names_the_module() -> None:
    named = Path(__file__).read_text()
    paths = [ROOT / "pyproject.toml", *(ROOT / "explorer").rglob("*.py"), *(ROOT / "dlas_ops").rglob("*.py")]
    found = {path: comments for path in paths if (comments := tagged(path))}
    assert len(found) >= 8
    for path, comments in found.items():
        assert path.stem in named or path.is_relative_to(ROOT / "dlas_ops"), path
        for comment in comments:
            assert re.match(r"Workaround: [\w-]+ [\d.a-z]+: .+; tests/\S*test_workarounds\.py", comment), comment


def test_optuna_still_computes_steps_in_binary() -> None:
    """`explorer.space.optuna_parameters` takes the choice that lies nearest."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {study.ask().suggest_float("ratio", 0.2, 1.0, step=0.2) for _ in range(50)}
    assert len(drawn) == 5
    assert not drawn <= {0.2, 0.4, 0.6, 0.8, 1.0}


def test_typer_still_leaves_the_value_out_of_what_it_says_of_an_option() -> None:
    """`explorer.cli.refusals` appends it."""
    script = """
import typer
app = typer.Typer()
@app.command()
def main(count: int) -> None: ...
try:
    app(["xyzzy"], standalone_mode=False)
except typer.BadParameter as error:
    print(error.format_message())
"""
    ended = run(script)
    assert "valid integer" in ended.stdout, ended.stderr
    assert "xyzzy" not in ended.stdout


def test_torchvision_still_renames_the_layers_of_its_densenets_weights() -> None:
    """`explorer.line.training.initial.weight_files` does so, too."""
    from torchvision.models import densenet

    assert r"denselayer\d+\.(?:norm|relu|conv))\." in inspect.getsource(densenet._load_state_dict)


@pytest.mark.nightly
def test_tvm_still_imports_torch_by_itself() -> None:
    """`explorer.processes.worker.without_torch`: apache-tvm-ffi 0.1.14 imports torch wherever it is installed."""
    assert run("import sys, tvm; sys.exit('torch' in sys.modules)").returncode == 1


@pytest.mark.nightly
def test_tvm_still_has_no_default_of_all_cores() -> None:
    """`explorer.processes.loopback.server` sets TVM_NUM_THREADS: TVM 0.27 takes half of the cores it sees on x86."""
    script = """
import os, sys
os.environ.pop("TVM_NUM_THREADS", None); os.environ.pop("OMP_NUM_THREADS", None)
sys.modules["torch"] = None
import tvm
sys.exit(int(tvm.get_global_func("runtime.NumThreads")()) == os.cpu_count())
"""
    if os.cpu_count() == 1:
        pytest.skip("one core: half of it is one, too")
    assert run(script).returncode == 0


@pytest.mark.nightly
def test_tvm_still_buries_no_program_that_a_session_ran_in() -> None:
    """`explorer.line.channels.pipes._bury` does so: TVM 0.27 ends that program, and never waits for it."""
    script = """
import gc, sys, time
from explorer.processes.worker import without_torch
without_torch()
import psutil
from tvm.rpc import _ffi_api
try:
    _ffi_api.CreatePipeClient("true")
except Exception:
    gc.collect()
time.sleep(0.5)
(child,) = psutil.Process().children()
sys.exit(child.status() != psutil.STATUS_ZOMBIE)
"""
    assert run(script).returncode == 0


def test_tvm_still_sends_the_length_of_a_message_by_itself() -> None:
    """`explorer/line/device/tracker.py` sends both at once."""
    from tvm.rpc import base

    socket = Mock()
    base.sendjson(socket, [1])
    assert socket.sendall.mock_calls == [call(b"\x03\0\0\0"), call(b"[1]")]


def test_the_pin_of_tvm_ffi_is_the_version_installed() -> None:
    """pyproject.toml pins apache-tvm-ffi: 0.1.15.post2 segfaults in every graph save (`tvm.ir.save_json`).

    The newer version cannot be tried beside the pinned one; lift the pin together with apache-tvm's next version, and
    delete this test if `tests/dlas_ops` passes then.
    """
    assert importlib.metadata.version("apache-tvm") == "0.27.0.post1"
    assert importlib.metadata.version("apache-tvm-ffi") == "0.1.14.post0"


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


@pytest.mark.nightly
def test_asking_tvm_for_its_threads_still_binds_this_one() -> None:
    """`dlas_ops.selection.candidates.time_here` counts cores itself: to ask TVM 0.27 starts its threads."""
    script = """
import os, sys
sys.modules["torch"] = None
import tvm
before = os.sched_getaffinity(0)
tvm.get_global_func("runtime.NumThreads")()
sys.exit(os.sched_getaffinity(0) == before)
"""
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one core: nothing to be bound to")
    assert run(script).returncode == 0


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


@pytest.mark.nightly
def test_tvm_still_binds_a_thread_that_computes_alone_to_the_first_core() -> None:
    """`explorer.line.stages.evaluate._alone` undoes what TVM 0.27 does to a thread that is to start no others."""
    script = """
import os, sys
sys.modules["torch"] = None
import tvm
before = os.sched_getaffinity(0)
tvm.get_global_func("runtime.config_threadpool")(1, 1)
sys.exit(os.sched_getaffinity(0) == before)
"""
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip("one core: nothing to be bound to")
    assert run(script).returncode == 0


@pytest.mark.nightly
def test_torch_pruning_still_removes_the_first_groups_inputs_from_every_group() -> None:
    """`explorer.compression._narrowing`: torch-pruning 1.6.1, of which grouped convolutions lose equal places."""
    script = """
import sys, torch, torch_pruning
layer = torch.nn.Conv2d(8, 8, 1, groups=2)
weight = layer.weight.detach().clone()
torch_pruning.prune_conv_in_channels(layer, [0, 5])  # the first input of the first group, the second of the second
expected = torch.cat([weight[:4, [1, 2, 3]], weight[4:, [0, 2, 3]]])
sys.exit(torch.equal(layer.weight, expected))
"""
    assert run(script).returncode == 0


def test_onnx_still_computes_other_transposed_convolutions_of_several_groups() -> None:
    """`explorer.line.checking.onnx_reference`: onnx 1.23, of which it evaluates each group alone."""
    script = """
import sys, numpy, onnx, torch
from onnx.reference import ReferenceEvaluator
from explorer.line.checking.onnx_reference import evaluator_of
layer = torch.nn.ConvTranspose2d(4, 4, 3, stride=2, groups=4)
node = onnx.helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], group=4, strides=[2, 2])
tensors = [onnx.helper.make_tensor_value_info(name, 1, None) for name in ("x", "w", "b", "y")]
graph = onnx.helper.make_graph([node], "one", tensors[:3], tensors[3:])
network = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
images = torch.randn(2, 4, 5, 5)
given = {"x": images, "w": layer.weight, "b": layer.bias}
given = {name: tensor.detach().numpy() for name, tensor in given.items()}
expected = layer(images).detach().numpy()
theirs, ours = (made(network).run(None, given)[0] for made in (ReferenceEvaluator, evaluator_of))
sys.exit(numpy.allclose(theirs, expected, atol=1e-5) or not numpy.allclose(ours, expected, atol=1e-5))
"""
    assert run(script).returncode == 0


@pytest.mark.nightly
def test_torch_pruning_still_does_not_know_some_norms_nor_maps_of_one_channel() -> None:
    """`explorer.compression._dependencies`: torch-pruning 1.6.1, beside which it registers norms and drops edges."""
    script = """
import sys, torch, torch_pruning
from torch import nn

class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide, self.map = nn.Conv2d(1, 8, 1), nn.Conv2d(1, 1, 1)
    def forward(self, images):
        return self.wide(images) * self.map(images)

def narrowed(model, layer, example):
    graph = torch_pruning.DependencyGraph().build_dependency(model, example, verbose=False)
    group = graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, [0])
    group.prune()
    return group

norms = [nn.RMSNorm(8), nn.InstanceNorm1d(8, affine=True, track_running_stats=True)]
root, instance = (nn.Sequential(nn.Linear(4, 8), norm, nn.Linear(8, 2)) for norm in norms)
instance = nn.Sequential(nn.Conv1d(1, 8, 1), norms[1], nn.Conv1d(8, 2, 1))
narrowed(root, root[0], torch.randn(2, 4))
narrowed(instance, instance[0], torch.randn(2, 1, 5))
gate = Gate()
coupled = {dep.target.module for dep, _ in narrowed(gate, gate.wide, torch.randn(2, 1, 4, 4))}
sys.exit(norms[0].normalized_shape == (7,) or len(norms[1].running_mean) == 7 or gate.map not in coupled)
"""
    assert run(script).returncode == 0


def test_optuna_still_reads_all_trials_of_a_study_or_none() -> None:
    """`optuna_database.OptunaDatabase.trials` and `trials_of`: optuna 5.0 has no method that reads some of them."""
    assert [*inspect.signature(optuna.Study.get_trials).parameters] == ["self", "deepcopy", "states"]
    assert [*inspect.signature(RDBStorage.get_all_trials).parameters] == ["self", "study_id", "deepcopy", "states"]
    assert not hasattr(optuna.create_study(), "storage")


def test_optuna_still_keeps_the_first_value_of_a_constraint() -> None:
    """`optuna_database.with_constraints`: optuna 5.0 can neither change nor remove one."""
    trial = optuna.trial.create_trial(value=0.0, constraints={"size_bytes <= 1": 2.0})
    with pytest.warns(UserWarning, match="ignored"):
        trial.set_constraint("size_bytes <= 1", 1.0)
    assert trial.constraints == {"size_bytes <= 1": 2.0}
    assert trial.system_attrs == {"constraints:size_bytes <= 1": 2.0}
    assert not hasattr(trial, "remove_constraint")


def test_scipy_still_cannot_skip_no_point_of_a_sequence() -> None:
    """`explorer.search.samplers.qmc`: scipy 1.17 raises OverflowError."""
    with pytest.raises(OverflowError):
        qmc.Sobol(2, scramble=True, rng=0).fast_forward(0)


@pytest.mark.nightly
def test_two_threads_still_cannot_parse_at_once() -> None:
    """`explorer.core.plugins._body` holds a lock while it parses: CPython 3.11, the oldest version supported."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the lock is for CPython 3.11")
    script = """
import ast, gc, sys, threading

def parse_meanwhile(phase, info):  # called in the middle of a tree
    gc.callbacks.clear()
    other = threading.Thread(target=ast.parse, args=("x = 1",))
    other.start()
    other.join()

source = "\\n".join(f"x{i} = [{{'a': (1, 2, [3, {{'b': 4}}])}}, f({i}, y={i})]" for i in range(300))
gc.set_threshold(50)
gc.callbacks.append(parse_meanwhile)
try:
    ast.parse(source)
except SystemError:
    sys.exit(1)
"""
    assert run(script).returncode == 1


@pytest.mark.nightly
def test_torch_still_describes_all_operators_for_each_export() -> None:
    """`explorer.line.training.onnx_export` keeps the first table."""
    script = (
        "from torch.onnx._internal.exporter._registration import ONNXRegistry as Registry\n"
        "assert Registry.from_torchlib(20) is not Registry.from_torchlib(20)\n"
        "from explorer.line.training.onnx_export import _describe_operators_once\n"
        "_describe_operators_once()\n"
        "assert Registry.from_torchlib(20) is Registry.from_torchlib(20)\n"
    )
    assert run(script).returncode == 0


def test_pillow_still_turns_no_negative_of_16_bits(tmp_path: Path) -> None:
    """A file of `explorer.datasets._colours`."""
    shown = {}
    for dtype in ("uint8", "uint16"):
        tiff(0, dtype, photometric=0)(tmp_path / "white.tif")
        with Image.open(tmp_path / "white.tif") as image:
            shown[dtype] = image.getpixel((0, 0))
    assert shown == {"uint8": 255, "uint16": 0}


@pytest.mark.nightly
def test_torch_still_folds_a_batch_norm_once_for_each_call_of_its_layer() -> None:
    """`explorer.line.training.folding` folds it once, or not at all."""
    script = """
import sys, torch
from torch.fx.experimental.optimization import fuse
class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = torch.nn.Conv2d(4, 4, 1), torch.nn.BatchNorm2d(4, affine=False)
        self.norm.running_var.fill_(0.25)
    def forward(self, images):
        return self.norm(self.layer(self.norm(self.layer(images))))
model, images = Recurrent().eval(), torch.ones(1, 4, 2, 2)
sys.exit(torch.allclose(fuse(model)(images), model(images)))
"""
    assert run(script).returncode == 0
