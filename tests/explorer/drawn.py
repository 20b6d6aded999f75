"""Axes and constraints of search spaces, drawn at random."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def some(*choices: Any) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(choices), min_size=1, unique=True)


DRAWN_AXES = st.fixed_dictionaries(
    {"dataset": st.just(["digits"]), "model": some("mobilenetv2", "resnet18")},
    optional={
        "width": some(0.25, 0.5, 1.0),
        "compression": some("none", "weight_pruning", "int8", "weight_pruning+float16", "float16+channel_pruning"),
        "channel_multiple": some(1, 8, "vector"),
        "ratio": some(0.3, 0.5, 0.9) | st.just({"low": 0.2, "high": 0.8, "step": 0.2}),
        "algorithm": some("direct", "gemm", "winograd"),
        "format": some("dense", "csr"),
        "batch": some(1, 4) | st.just({"low": 1, "high": 3, "log": True}),
        "tuning_trials": some(0, 64),
        "threads": some(1, 2, 4) | st.just({"low": 1, "high": 3}),
    },
)


@st.composite
def drawn_constraints(draw: st.DrawFn, axes: dict[str, Any]) -> list[dict[str, Any]]:
    listed = [name for name, choices in axes.items() if isinstance(choices, list)]
    condition = st.sampled_from(listed).flatmap(
        lambda name: st.fixed_dictionaries({name: st.sampled_from(axes[name]) | some(*axes[name])})
    )
    parts = st.sampled_from(["require", "forbid"])
    return [{"when": draw(condition), draw(parts): draw(condition)} for _ in range(draw(st.integers(0, 2)))]
