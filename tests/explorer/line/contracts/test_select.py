"""Keys of the candidates that a selection chooses among: shared by all selections that would measure the same."""

from __future__ import annotations

from explorer.line.contracts.select import latency_keys
from tests.typed_stages import selection


def test_selections_share_what_was_measured_for_another_algorithm() -> None:
    keys = latency_keys(selection("auto"))
    assert [list(problem) for problem in keys] == [["direct", "gemm"], ["direct"]]
    assert latency_keys(selection("other")) == keys


def test_threads_and_evicted_bytes_change_a_latency() -> None:
    every = [selection(), selection(threads=2), selection(evicted=1)]
    keys = [key for stage in every for problem in latency_keys(stage) for key in problem.values()]
    assert len(set(keys)) == len(keys) == 9
