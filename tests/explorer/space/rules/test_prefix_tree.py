"""The valid configurations of a space: those that brute force finds, in order, however many."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.core.configuration import AXES, Configuration, takes_ratio, why_invalid
from explorer.core.errors import SpaceError
from explorer.space import space
from tests.explorer.drawn import DRAWN_AXES, drawn_constraints
from tests.explorer.spaces import SMALL, make, refusal


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def holds(configuration: Configuration, condition: dict[str, Any]) -> bool:
    return all(getattr(configuration, axis) in listed(allowed) for axis, allowed in condition.items())


def allowed(configuration: Configuration, constraint: dict[str, Any]) -> bool:
    """Say it again, in other words than `Constraint` does."""
    if not holds(configuration, constraint["when"]):
        return True
    exists = [axis for axis in AXES if getattr(configuration, axis) is not None]
    required = {axis: value for axis, value in constraint.get("require", {}).items() if axis in exists}
    return holds(configuration, required) and not (
        "forbid" in constraint and any(holds(configuration, {a: v}) for a, v in constraint["forbid"].items())
    )


def expanded(name: str, value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [0.2, 0.4, 0.6, 0.8] if name == "ratio" else [1, 2, 3]
    return list(value)


def brute_force(axes: dict[str, Any], constraints: list[dict[str, Any]]) -> list[Configuration]:
    """Every combination, filtered; what nothing takes, such as a ratio without a compression that removes, is None."""
    lists = {name: expanded(name, value) for name, value in axes.items()}
    lists["ratio"] = [*lists.get("ratio", []), None]
    lists["channel_multiple"] = [*lists.get("channel_multiple", [8]), None]
    lists["tuner"] = ["template", None]
    points = [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())]
    valid = [c for c in (Configuration(**point) for point in points) if why_invalid(c) is None]
    return [c for c in valid if all(allowed(c, constraint) for constraint in constraints)]


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_the_configurations_are_the_brute_force_product_filtered_by_the_rules(data: st.DataObject) -> None:
    axes = data.draw(DRAWN_AXES)
    constraints = data.draw(drawn_constraints(axes))
    expected = brute_force(axes, constraints)
    with tempfile.TemporaryDirectory() as folder:
        try:
            drawn = make(Path(folder), axes, constraints)
        except SpaceError:
            used = {(axis, getattr(c, axis)) for c in expected for axis in axes}
            choices = {(axis, v) for axis, value in axes.items() if isinstance(value, list) for v in value}
            assert choices - used or not expected
            return
        found = list(drawn.configurations())
        assert drawn.count == len(found) == len(expected)
        assert set(found) == set(expected)
        assert len({configuration.id for configuration in found}) == len(found)


def test_the_order_is_lexicographic_in_the_axes(tmp_path: Path) -> None:
    drawn = make(tmp_path)
    axes = [axis for axis in AXES if axis not in ("ratio", "channel_multiple")]
    ranks = [
        [drawn.axes[name].choices.index(getattr(configuration, name)) for name in axes]
        for configuration in drawn.configurations()
        if configuration.ratio in (None, 0.5)
    ]
    assert ranks == sorted(ranks)
    assert drawn.count == 2 * (1 + 2 * 2) * 2 * 2


def test_the_ratio_exists_exactly_where_the_compression_takes_one(tmp_path: Path) -> None:
    for configuration in make(tmp_path).configurations():
        assert (configuration.ratio is not None) == takes_ratio(configuration.compression)


def test_a_leaf_is_found_by_its_place_without_listing_those_before(tmp_path: Path) -> None:
    tree = make(tmp_path).tree
    assert [tree.leaf(index) for index in range(tree.count)] == list(tree.leaves())


def test_a_large_grid_is_counted_and_drawn_from_quickly(tmp_path: Path) -> None:
    axes = {
        **SMALL,
        "width": [0.25, 0.5, 1.0],
        "ratio": {"low": 0.05, "high": 0.95, "step": 0.05},
        "tuning_trials": [0, 16, 64, 256],
        "threads": {"low": 1, "high": 32},
    }
    drawn = make(tmp_path, axes)
    assert drawn.count == 2 * 3 * (1 + 2 * 19) * 2 * 4 * 32
    assert space.unseen(drawn, (), 0) in set(itertools.islice(drawn.configurations(), drawn.count))


def test_what_leaves_the_same_open_is_one_node(tmp_path: Path) -> None:
    axes = {**SMALL, "batch": {"low": 1, "high": 40}, "threads": {"low": 1, "high": 40}}
    constraints = [{"when": {"batch": [index]}, "forbid": {"threads": [index]}} for index in range(1, 41)]
    drawn = make(tmp_path, axes, constraints)
    assert drawn.count == 2 * (1 + 2 * 2) * 2 * (40 * 40 - 40)
    nodes, waiting = set(), [drawn.tree]
    while waiting:
        node = waiting.pop()
        if id(node) not in nodes:
            nodes.add(id(node))
            waiting += node.children.values()
    assert len(nodes) < 4_000
    assert 7 not in {c.threads for c in itertools.islice(drawn.configurations(), 40 * 7) if c.batch == 7}


def test_a_space_too_large_to_count_is_refused(tmp_path: Path) -> None:
    many = {"batch": {"low": 1, "high": 5000}, "ratio": {"low": 0.1, "high": 0.9, "step": 0.01}}
    assert "combinations, more than 1,000,000" in refusal(tmp_path, many)
