"""The search for the tensor that departs first, on graphs that branch and join."""

from __future__ import annotations

import pytest

from explorer.line.checking.first_wrong_layer import bisect

# Tensor → what it is computed of: two branches of unlike length, joined twice.
EDGES: dict[str, tuple[str, ...]] = {
    "stem": (),
    "a1": ("stem",),
    "b1": ("stem",),
    "a2": ("a1",),
    "a3": ("a2",),
    "sum": ("a3", "b1"),
    "gate": ("sum",),
    "product": ("sum", "gate"),
    "logits": ("product",),
}


def upstream() -> dict[str, frozenset[str]]:
    known: dict[str, frozenset[str]] = {}
    for tensor, sources in EDGES.items():
        known[tensor] = frozenset([tensor]).union(*(known[source] for source in sources))
    return known


@pytest.mark.parametrize("wrong", EDGES)
def test_the_tensor_that_departs_first_is_found(wrong: str) -> None:
    known, asked = upstream(), []

    def departs(tensor: str) -> bool:
        asked.append(tensor)
        return wrong in known[tensor]

    assert bisect(known, "logits", departs) == wrong
    assert len(asked) == len(set(asked)) <= 5


def test_what_cancels_on_the_way_does_not_mislead() -> None:
    """A wrong tensor whose reader comes out right by chance: what is named departs, and nothing that it is made of."""
    wrong = {"a1", "sum", "gate", "product", "logits"}
    found = bisect(upstream(), "logits", wrong.__contains__)
    assert found in wrong
    assert not wrong & set(EDGES[found])
