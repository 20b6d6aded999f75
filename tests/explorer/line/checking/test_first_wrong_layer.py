"""The search for the tensor that departs first, on graphs that branch and join."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from dlas_ops.kernels.algorithms import gemm
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.processor.targets import native_target
from explorer.line.checking.batches import in_batches
from explorer.line.checking.first_wrong_layer import Placement, bisect, parting
from tests.dlas_ops import small_networks as networks

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


def test_tensors_whose_images_are_not_one_behind_the_other_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halves of the channels first, then images: no network of several images has such an output."""
    conv = Conv(1, 8, 6, 6, 8, (3, 3), padding=(1, 1, 1, 1))
    shape, halves = networks.shape_of(conv), (1, 2, 4, 6, 6)
    constants = {"w": networks.weights_of(conv), "v": networks.weights_of(conv) + 1}
    constants |= {"apart": np.array(halves), "together": np.array(shape)}
    nodes = [
        networks.conv_node(conv, ["x", "w"], "a"),
        helper.make_node("Reshape", ["a", "apart"], ["b"]),
        helper.make_node("Transpose", ["b"], ["c"], perm=[1, 0, 2, 3, 4]),
        helper.make_node("Exp", ["c"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("Transpose", ["e"], ["f"], perm=[1, 0, 2, 3, 4]),
        helper.make_node("Reshape", ["f", "together"], ["g"]),
        networks.conv_node(conv, ["g", "v"], "y"),
    ]
    network, pack = networks.model(nodes, shape, constants), gemm.pack

    def careless(weight: NDArray[Any], conv: Any, cpu: Any) -> Any:
        return pack(weight * 2 if np.array_equal(weight, constants["w"]) else weight, conv, cpu)

    def run(library: Any, images: NDArray[Any]) -> NDArray[Any]:
        return in_batches(lambda own: networks.run_library(library, own), images, 3)

    monkeypatch.setattr(gemm, "pack", careless)
    found = parting(
        network, Placement("gemm", "dense", "float32", native_target(), 3), networks.random(shape), 1e-3, run
    )
    assert found.startswith("outputs part in layer 'w' (gemm/dense, float32), at its Conv"), found
