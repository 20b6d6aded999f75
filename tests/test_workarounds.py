"""Workarounds for defects of libraries: each test fails on the day its workaround is no longer needed."""

from __future__ import annotations

import importlib.metadata
import inspect
import os
import subprocess
import sys

import optuna
import pytest
from optuna.storages import RDBStorage
from scipy.stats import qmc


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_tvm_still_imports_torch_by_itself() -> None:
    """`explorer.processes.worker.without_torch`: apache-tvm-ffi 0.1.14 imports torch wherever it is installed."""
    assert run("import sys, tvm; sys.exit('torch' in sys.modules)").returncode == 1


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


def test_the_tracker_still_gives_up_at_a_port_that_another_process_listens_at_first() -> None:
    """`loopback.listening` starts it anew: TVM 0.27 takes another port only where one cannot be bound."""
    script = """
import errno, socket, sys
sys.modules["torch"] = None
from tvm.rpc.tracker import PopenTrackerServerState
from explorer import loopback
class Late(socket.socket):
    times = 0
    def listen(self, *backlog):
        Late.times += 1
        if Late.times % 2:
            raise OSError(errno.EADDRINUSE, "another process listens")
        super().listen(*backlog)
socket.socket = Late
start = lambda: PopenTrackerServerState("127.0.0.1", *loopback.PORTS, silent=True)
try:
    start()
except OSError:
    print("gave up", flush=True)
Late.times = 0
print(loopback.listening(start).port, flush=True)
import os; os._exit(0)
"""
    gave_up, port = run(script).stdout.split("\n")[:2]
    assert gave_up == "gave up"
    assert int(port) >= 19190


def test_the_rpc_server_still_needs_packages_that_tvm_does_not_require() -> None:
    """pyproject.toml lists cloudpickle, psutil and tornado for apache-tvm."""
    required = " ".join(r for r in importlib.metadata.requires("apache-tvm") or [] if "extra ==" not in r)
    assert not [name for name in ("cloudpickle", "tornado") if name in required]


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


def test_torch_pruning_still_removes_the_first_groups_inputs_from_every_group() -> None:
    """`explorer.compression.channel_pruning`: torch-pruning 1.6.1, of which grouped convolutions lose equal places."""
    script = """
import sys, torch, torch_pruning
layer = torch.nn.Conv2d(8, 8, 1, groups=2)
weight = layer.weight.detach().clone()
torch_pruning.prune_conv_in_channels(layer, [0, 5])  # the first input of the first group, the second of the second
expected = torch.cat([weight[:4, [1, 2, 3]], weight[4:, [0, 2, 3]]])
sys.exit(torch.equal(layer.weight, expected))
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


def test_two_threads_still_cannot_parse_at_once() -> None:
    """`explorer.core.plugins._body` holds a lock while it parses: CPython 3.11, the oldest version supported."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the lock is for CPython 3.11")
    script = """
import ast, gc, sys, threading, time
source = "\\n".join(f"x{i} = [{{'a': (1, 2, [3, {{'b': 4}}])}}, f({i}, y={i})]" for i in range(300))
gc.set_threshold(50)
gc.callbacks.append(lambda *_: time.sleep(1e-6))  # lets the other thread go on in the middle of a tree
failed, end = [], time.monotonic() + 60
def parse():
    while not failed and time.monotonic() < end:
        try:
            ast.parse(source)
        except SystemError as error:
            failed.append(error)
threads = [threading.Thread(target=parse) for _ in range(2)]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit(bool(failed))
"""
    assert run(script).returncode == 1
