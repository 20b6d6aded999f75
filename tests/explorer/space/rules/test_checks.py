"""Spaces of which no study could be run as they are written: refused, with the line and the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import SpaceError
from explorer.space import space
from tests.explorer import spaces
from tests.explorer.spaces import refusal, render


def test_the_unchanged_file_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(render(spaces.VALID))
    assert space.load(path).count == 2 * 2 * 2 * 2


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"device": "locl"}, "8: unknown device 'locl' on axis device; allowed: local; did you mean 'local'?"),
        (
            {"device": ["local", "phone"]},
            "8: unknown device 'phone' on axis device; allowed: local; a device needs an entry such as [phone] "
            "in devices.toml, with its tracker and target; this version has schedules for targets of kind llvm, "
            "opencl, cuda",
        ),
        (
            {"device": ["locl", "phone"]},
            "8: unknown devices 'locl', 'phone' on axis device; allowed: local; a device needs an entry such as "
            "[locl] in devices.toml",
        ),
        (
            {"channel_multiple": 16},
            "8: no valid configuration has channel_multiple 16: no compression of the space takes a channel_multiple",
        ),
        (
            {"ratio": None},
            "4: no valid configuration has compression weight_pruning: compression weight_pruning needs a ratio",
        ),
        (
            {"compression": "none"},
            "5: no valid configuration has ratio 0.5: no compression of the space takes a ratio",
        ),
        (
            {"compression": ["none", "weight_pruning", "int8+weight_pruning"]},
            "4: no valid configuration has compression int8+weight_pruning: compression int8+weight_pruning: "
            "int8 decides the dtype of the whole network and stands last",
        ),
        (
            {"compression": "none", "ratio": None, "format": "csr"},
            "1: the space has no valid configuration: format csr needs weight_pruning: none leaves no zeros to skip",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(axes: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, axes).startswith(f"x.toml:{message}")


def test_a_choice_that_a_constraint_leaves_out_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"format": ["dense", "csr"]}, [{"require": {"compression": "none"}}])
    assert message.startswith(
        "x.toml:4: no valid configuration has compression weight_pruning: "
        "the constraint at line 9 forbids compression weight_pruning"
    )


RUNGS = {"compression": "none", "ratio": None, "tuning_trials": [64, 0, 16]}


@pytest.mark.parametrize(
    ("axes", "rungs", "message"),
    [
        ({}, "tuning_seconds", "rungs 'tuning_seconds' needs a list of two budgets or more on axis tuning_seconds"),
        ({"tuning_trials": 8}, "tuning_trials", "rungs 'tuning_trials' needs a list of two budgets or more on axis "),
        (
            {"tuning_trials": [8, 16], "tuner": ["template", "generated"]},
            "tuning_trials",
            "",
        ),
    ],
)
def test_rungs_need_two_budgets(axes: dict[str, Any], rungs: str, message: str, tmp_path: Path) -> None:
    chosen, search = {**spaces.VALID, **RUNGS, **axes}, {"rungs": rungs}
    if not message:
        assert spaces.make(tmp_path, chosen, **search).lowest.axes["tuning_trials"].choices == (8,)
        return
    with pytest.raises(SpaceError, match=message):
        spaces.make(tmp_path, chosen, **search)


def test_rungs_begin_with_a_budget_that_every_choice_can_be_had_with(tmp_path: Path) -> None:
    untuned = [{"when": {"algorithm": "gemm"}, "forbid": {"tuning_trials": 0}}]
    message = refusal(tmp_path, RUNGS, untuned, search={"rungs": "tuning_trials"})
    assert "rungs 'tuning_trials' begin with 0, with which no valid configuration has algorithm gemm" in message
