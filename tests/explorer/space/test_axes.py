"""The choices on the axes: as written, as the explorer completes them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.explorer.spaces import SMALL, Raw, make, refusal


def test_a_range_with_a_step_has_the_values_as_written(tmp_path: Path) -> None:
    axes = {**SMALL, "compression": "weight_pruning", "ratio": {"low": 0.3, "high": 0.95, "step": 0.1}}
    assert make(tmp_path, axes).axes["ratio"].choices == (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@pytest.mark.parametrize(("listed", "expected"), [(None, {8}), ([1, 16, "vector"], {1, 16, "vector"})])
def test_channels_are_kept_in_multiples_of_8_unless_others_are_listed(
    listed: list[object] | None, expected: set[object], tmp_path: Path
) -> None:
    found = list(make(tmp_path, {**SMALL, "channel_multiple": listed}).configurations())
    assert {c.channel_multiple for c in found if c.compression == "channel_pruning"} == expected
    assert {c.channel_multiple for c in found if c.compression != "channel_pruning"} == {None}


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"algorithm": ["direct", "gem"]}, "6: unknown algorithm 'gem' on axis algorithm; allowed: "),
        ({"algorithm": Raw('["direct",\n"gem"]')}, "7: unknown algorithm 'gem' on axis algorithm; allowed: "),
        ({"threads": None, "thread": [1, 2]}, "7: unknown axis 'thread'; allowed: dataset, model, width, "),
        ({"dataset": "digts"}, "2: unknown dataset 'digts' on axis dataset; allowed: "),
        ({"dataset": "timm:digits"}, "2: unknown dataset 'timm:digits' on axis dataset; allowed: "),
        ({"dataset": "my module:load"}, "2: unknown dataset 'my module:load' on axis dataset; allowed: "),
        ({"dataset": 3}, "2: axis dataset takes names, not 3"),
        ({"algorithm": ["direct", "all"]}, "6: 'all' stands alone: write algorithm = \"all\""),
        ({"algorithm": {"low": 1, "high": 2}}, "6: axis algorithm takes names, not a range"),
        ({"threads": []}, "7: axis threads lists no choice"),
        ({"threads": [1, 1]}, "7: axis threads lists 1 twice"),
        ({"threads": [1, 2.5]}, "7: axis threads takes integers, not 2.5"),
        ({"threads": True}, "7: axis threads takes integers, not True"),
        ({"threads": [0]}, "7: threads 0 is below 1"),
        ({"threads": {"low": 4, "high": 2}}, "7: axis threads: low 4 is above high 2"),
        ({"threads": {"low": 4}}, "7: the range of axis threads has no high"),
        (
            {"threads": {"low": 1, "hihg": 2}},
            "7: unknown key 'hihg' in the range of axis threads; allowed: low, high, step, log; did you mean 'high'?",
        ),
        (
            {"threads": {"low": 1, "high": 2, "step": 0}},
            "7: axis threads: step is a positive integer, not 0",
        ),
        (
            {"batch": {"low": 1, "high": 20_000}},
            "8: axis batch has more than 10000 steps; use a larger step",
        ),
        (
            {"ratio": {"low": 0.1, "high": 0.5, "step": 0.1, "log": True}},
            "5: axis ratio: a range has a step or log = true, not both",
        ),
        ({"ratio": {"low": 0, "high": 0.5}}, "5: ratio 0 is not a share from 1e-06 to 0.999999"),
        ({"ratio": [0.5, 1.0]}, "5: ratio 1.0 is not a share from 1e-06 to 0.999999"),
        ({"ratio": "all"}, "5: axis ratio takes numbers, not 'all'"),
        (
            {"channel_multiple": [8, "vectr"]},
            "8: axis channel_multiple takes integers or 'vector', not 'vectr'",
        ),
        ({"channel_multiple": 0}, "8: channel_multiple 0 is below 1"),
        ({"batch": [1, 0]}, "8: batch 0 is below 1"),
        ({"batch": 1.5}, "8: axis batch takes integers, not 1.5"),
        ({"max_drop": [0.01, -0.5]}, "8: max_drop -0.5 is not a loss from 0 to 1000000000"),
        ({"max_drop": Raw("inf")}, "8: max_drop inf is not a loss from 0 to 1000000000"),
        ({"max_drop": Raw("nan")}, "8: max_drop nan is not a loss from 0 to 1000000000"),
        ({"max_drop": "1 %"}, "8: axis max_drop takes numbers, not '1 %'"),
        ({"width": [-1]}, "8: width -1 is not a multiplier from 0.001 to 1000"),
        (
            {"compression": ["none", "weight_pruning+in8"]},
            "4: unknown compression 'in8' on axis compression; allowed: bfloat16, channel_pruning, float16, "
            "int8, int8_mixed, int8_qat, none, weight_pruning; did you mean 'int8'?",
        ),
        ({"width": [Raw("inf")]}, "8: width inf is not a multiplier from 0.001 to 1000"),
        ({"width": [2**63]}, "8: width 9223372036854775808 is not a multiplier from 0.001 to 1000"),
        ({"threads": [2**63]}, "7: threads 9223372036854775808 is above 4,096"),
        ({"tuning_trials": {"low": 0, "high": 10**12}}, "8: tuning_trials 1000000000000 is above 10,000,000"),
        ({"width": {"low": 0.5, "high": 1, "step": Raw("inf")}}, "8: axis width: step is a positive number, not inf"),
        ({"batch": list(range(1, 10_002))}, "8: axis batch lists 10,001 choices, more than 10,000"),
        (
            {"device": "local+"},
            "8: device 'local+' on axis device: '' is no name: it has blanks around it",
        ),
        (
            {"device": ["local", " local"]},
            "8: device ' local' on axis device: ' local' is no name: it has blanks",
        ),
        ({"dataset": None}, "1: axis 'dataset' is missing"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(axes: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, axes).startswith(f"x.toml:{message}")
