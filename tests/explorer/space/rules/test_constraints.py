"""Rules between axes: what each refuses in a file, and what it forbids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from explorer.space.axes import Choice, Range
from explorer.space.rules.constraints import Constraint
from tests.explorer.spaces import Raw, refusal


def test_more_constraints_than_anyone_writes_are_refused(tmp_path: Path) -> None:
    many = [{"when": {"threads": 1}, "forbid": {"model": "resnet18"}}] * 20_000
    assert refusal(tmp_path, {}, many).endswith(": there are 20,000 constraints, more than 1,000")


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        ({"when": {"threads": 1}}, "8: a constraint needs require = "),
        (
            {"requires": {"threads": 1}},
            "9: unknown key 'requires' in a constraint; allowed: when, require, forbid; did you mean 'require'?",
        ),
        (
            {"require": Raw("{ model = ['resnet18',\n 'resnet81'] }")},
            "10: the space has no model 'resnet81'; allowed: mobilenetv2, resnet18; did you mean 'resnet18'?",
        ),
        ({"require": {"thread": 1}}, "9: unknown axis 'thread' in a constraint; allowed: "),
        ({"forbid": {"threads": []}}, "9: a constraint lists no threads"),
        ({"forbid": {"threads": {"low": 2, "high": 1}}}, "9: low 2 is above high 1"),
        ({"forbid": {"threads": {"low": 2}}}, "9: a range in a constraint is { low = NUMBER, high = NUMBER }, not "),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(constraint: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, constraints=[constraint]).startswith(f"x.toml:{message}")


def test_a_continuous_axis_takes_no_constraint(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"ratio": {"low": 0.1, "high": 0.9}}, [{"forbid": {"ratio": 0.5}}])
    assert message == "x.toml:9: a constraint on axis ratio needs a step in the axis' range"


def test_the_reason_names_the_line_the_choice_and_the_condition() -> None:
    rule = Constraint({"model": ("resnet18",)}, {"threads": Range(1, 2)}, {"format": ("csr",)}, "line 9")
    assert rule.axes == {"model", "threads", "format"}
    values: dict[str, Choice] = {"model": "resnet18", "threads": 4, "format": "dense"}
    assert rule.why_invalid(values) == "the constraint at line 9 forbids threads 4 with model resnet18"
    assert rule.why_invalid({**values, "threads": 2, "format": "csr"}) is not None
    assert rule.why_invalid({**values, "threads": 2}) is None
    assert rule.why_invalid({**values, "model": "mobilenetv2"}) is None


def test_an_axis_that_does_not_exist_satisfies_it() -> None:
    needs = Constraint({}, {"ratio": (0.5,)}, {}, "line 1")
    assert needs.why_invalid({"ratio": None}) is None
    assert needs.why_invalid({"ratio": 0.7}) is not None
    never = Constraint({"ratio": (0.5,)}, {}, {"threads": (1,)}, "line 1")
    assert never.why_invalid({"ratio": None, "threads": 1}) is None
