"""Networks that note times: they compute the same, and every program has a time of its own in every run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.passes.ticking import FIELDS, elapsed_ns, notes_size
from tests.dlas_ops import small_networks as networks

RUNS = 3


def noted(library: Any, calls: int, runs: int, data: NDArray[np.float32]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return what a network that notes times computes, and its notes after so many `runs`."""
    machine = tvm.relax.VirtualMachine(library, tvm.cpu())
    notes = tvm.runtime.tensor(np.zeros(notes_size(calls, RUNS), np.int64))
    for _ in range(runs):
        outputs = machine["main"](tvm.runtime.tensor(data), notes).numpy()
    return outputs, notes.numpy()


@pytest.mark.parametrize("runs", [1, RUNS, RUNS + 2])
def test_it_computes_the_same_and_notes_every_program(runs: int) -> None:
    network = networks.repeated()
    lowered = dlas_ops.lower(network, networks.target(), algorithm="direct")
    library, timed = dlas_ops.build_ticking(lowered, networks.target(), runs=RUNS)
    data = networks.random(networks.shape_of(networks.REPEATED))
    outputs, notes = noted(library, len(timed), runs, data)
    np.testing.assert_array_equal(
        outputs, networks.run_library(dlas_ops.build(lowered, networks.target()).library, data)
    )
    assert notes[0] == runs
    last = min(runs, RUNS)
    spans = elapsed_ns(notes, len(timed), RUNS, last)
    assert spans.shape == (last, len(timed))
    assert (spans > 0).all()
    assert (spans < 10**10).all(), "ten seconds"
    with pytest.raises(ValueError, match=f"of {runs} runs the notes hold at most {RUNS}, and not {last + 1}"):
        elapsed_ns(notes, len(timed), RUNS, last + 1)


def test_each_call_says_what_it_runs_and_reads() -> None:
    lowered = dlas_ops.lower(networks.repeated(), networks.target(), algorithm="direct")
    _, timed = dlas_ops.build_ticking(lowered, networks.target(), runs=RUNS)
    layers = {layer.name: layer for layer in lowered.layers}
    convolutions = [call for call in timed if call.layers]
    assert [call.layers for call in convolutions] == [("w0",), ("w1",), ("w2",)]
    for call in convolutions:
        assert call.weight_bytes == layers[call.layers[0]].stored_bytes, "these have no biases"
        assert call.activation_bytes >= 2 * 32 * 6 * 8 * 4
    assert sum(not call.layers for call in timed) == len(timed) - 3


def test_a_gpu_is_refused() -> None:
    target = tvm.target.Target({"kind": "opencl", "host": {"kind": "llvm"}})
    lowered = dlas_ops.lower(networks.repeated(), target, algorithm="direct")
    with pytest.raises(ValueError, match="its host does not know"):
        dlas_ops.build_ticking(lowered, target, runs=RUNS)


@given(
    runs=st.integers(1, 4), calls=st.integers(1, 5), done=st.integers(1, 11), seed=st.integers(0, 1000), data=st.data()
)
def test_the_last_runs_are_read_in_their_order(
    runs: int, calls: int, done: int, seed: int, data: st.DataObject
) -> None:
    """Write the notes as the program does, a run over the oldest one, and read them."""
    spans = np.random.default_rng(seed).integers(1, 3_000_000_000, (done, calls))
    notes = np.zeros(notes_size(calls, runs), np.int64)
    rows = notes[FIELDS:].reshape(runs, calls + 1, FIELDS)
    start = 1_700_000_000_999_999_999
    for run, own in enumerate(spans):
        times = start + np.concatenate([[0], np.cumsum(own)])
        rows[run % runs] = np.stack(np.divmod(times, 1_000_000_000), axis=1)
        start = int(times[-1]) + 5
    notes[0] = done
    last = data.draw(st.integers(1, min(runs, done)))
    np.testing.assert_array_equal(elapsed_ns(notes, calls, runs, last), spans[-last:])
