"""Keys of what is measured: equal where a measurement answers for both, and different where it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from explorer.core.artifact import Artifact
from explorer.engines import keys
from explorer.line.stage import Stage


def selecting(evicted: int = 1, threads: int = 1, **parameters: Any) -> Stage:
    problems = [{"problem": {"layer": name}, "candidates": ["direct", "gemm"]} for name in "ab"]
    plan = Artifact("plan", "key", Path(), {"problems": problems, "evicted_bytes": evicted})
    return Stage("select", {"target": "t", "threads": threads, **parameters}, {"plan": plan})


def test_candidates_are_told_apart_by_what_changes_their_latency() -> None:
    one = keys.of_candidates(selecting(algorithm="auto"))
    assert [list(problem) for problem in one] == [["direct", "gemm"]] * 2
    assert keys.of_candidates(selecting(algorithm="other", device="left")) == one
    everything = [
        key
        for found in (one, keys.of_candidates(selecting(threads=2)), keys.of_candidates(selecting(evicted=2)))
        for problem in found
        for key in problem.values()
    ]
    assert len(set(everything)) == len(everything) == 12


def test_tunings_of_one_device_share_what_they_measure() -> None:
    def key(**parameters: Any) -> str:
        return keys.of_tuning(Stage("tune", {"target": "t", "threads": 1, "device": "left", **parameters}, {}))

    assert key(tuner="template", tuning_trials=8) == key(tuner="generated", tuning_trials=99)
    assert len({key(), key(threads=2), key(device="right"), key(target="u")}) == 4
