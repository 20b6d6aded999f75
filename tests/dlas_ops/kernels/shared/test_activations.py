"""Activation functions between two convolutions: what ONNX Runtime computes, in the first one's tensor program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.crossed import crossed

CHANNELS = 20
CONSTANTS = {
    name: np.array(value, np.float32) for name, value in {"0": 0, "0.5": 0.5, "1": 1, "3": 3, "6": 6, "2": 2}.items()
} | {"slope": networks.random((CHANNELS, 1, 1)), "root": np.array(np.sqrt(2), np.float32)}


def node(operator: str, inputs: str, output: str = "a", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], **attributes)


# From c to a.
ACTIVATIONS: dict[str, Sequence[onnx.NodeProto]] = {
    "hard swish": [node("HardSwish", "c")],
    "hard swish of its parts": [
        node("Add", "c 3", "s"), node("Clip", "s 0 6", "t"), node("Div", "t 6", "u"), node("Mul", "c u"),
    ],
    "hard sigmoid": [node("HardSigmoid", "c", alpha=1 / 6, beta=0.5)],
    "gelu": [node("Gelu", "c")],
    "gelu of its parts": [
        node("Div", "c root", "s"), node("Erf", "s", "t"), node("Add", "t 1", "u"), node("Mul", "c u", "v"),
        node("Mul", "v 0.5"),
    ],
    "silu": [node("Sigmoid", "c", "s"), node("Mul", "c s")],
    "tanh": [node("Tanh", "c")],
    "elu": [node("Elu", "c")],
    "leaky relu": [node("LeakyRelu", "c")],
    "parametric relu": [node("PRelu", "c slope")],
    "softplus": [node("Softplus", "c")],
    "mish": [node("Mish", "c")],
}  # fmt: skip


def between(nodes: Sequence[onnx.NodeProto]) -> onnx.ModelProto:
    """Return a network of `nodes` between two pointwise convolutions."""
    conv = Conv(1, CHANNELS, 6, 6, CHANNELS, (1, 1))
    used = {name for found in nodes for name in found.input} & CONSTANTS.keys()
    weights = {"w0": networks.weights_of(conv), "w1": networks.weights_of(conv, seed=1)}
    return networks.model(
        [networks.conv_node(conv, ["x", "w0"], "c"), *nodes, networks.conv_node(conv, ["a", "w1"], "y")],
        networks.shape_of(conv), weights | {name: CONSTANTS[name] for name in used},
    )  # fmt: skip


@pytest.mark.parametrize(("name", "algorithm"), crossed(ACTIVATIONS, ["direct", "spatial_pack"]))
def test_runs_in_the_convolution(name: str, algorithm: str) -> None:
    model = between(ACTIVATIONS[name])
    lowered = dlas_ops.lower(model, networks.target(), algorithm=algorithm)
    programs = [variable.name_hint for variable in lowered.module.get_global_vars()]
    # Two convolutions, the way back from their layout, and the network that calls them.
    assert len(programs) == 4, programs
    data = 2 * networks.random(networks.shape_of(Conv(1, CHANNELS, 6, 6, CHANNELS, (1, 1))))
    library = dlas_ops.build(lowered, networks.target()).library
    networks.assert_close(networks.run_library(library, data), networks.run_onnxruntime(model, data))
