"""Keys under which candidates' latencies are on record: different where something changes the latency."""

from __future__ import annotations

from explorer.line.contracts.candidates import latency_key


def test_candidates_are_told_apart_by_what_changes_their_latency() -> None:
    keys = {
        latency_key({"layer": layer}, name, {"kind": "llvm", "mcpu": mcpu}, threads, evicted)
        for layer in "ab"
        for name in ("direct", "gemm")
        for mcpu in ("znver3", "znver4")
        for threads in (1, 2)
        for evicted in (1, 2)
    }
    assert len(keys) == 32
    assert latency_key({"layer": "a"}, "direct", {"kind": "llvm", "mcpu": "znver3"}, 1, 1) in keys
