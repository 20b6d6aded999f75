"""Defects of TVM's runtime and its RPC server that running and measuring work around.

Each test fails on the day its workaround is no longer needed.
Those that take seconds run nightly: no change here, only another version of the library makes them fail.
"""

from __future__ import annotations

import os
from unittest.mock import Mock, call

import pytest

from tests.workarounds import run


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
