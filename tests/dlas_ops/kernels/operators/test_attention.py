"""Attention of drawn shapes against NumPy's and, on 8-bit integers, against ONNX's own operators."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import dlas_ops
from dlas_ops.kernels.operators import attention
from dlas_ops.processor.cpus import describe_cpu
from tests.dlas_ops import emulated
from tests.dlas_ops import small_networks as networks
from tests.dlas_ops.named_targets import named
from tests.dlas_ops.qdq import Network, Scale
from tests.dlas_ops.shapes import EXAMPLES, SETTINGS

QUERIES = st.sampled_from([8, 13, 16, 17, 31, 32, 33, 49, 64, 70])
SIZES = st.sampled_from([1, 2, 3, 7, 8, 13, 16, 20, 33, 64])
# Of the largest output; see `reference_checks.TOLERANCES`.
TOLERANCES = {"float32": 1e-5, "float16": 4e-3, "bfloat16": 3e-2}


@dataclass(frozen=True)
class Case:
    """Attention to be computed: `batch` and `heads`, of `queries` and `keys`, and what is added to the scores."""

    batch: int
    heads: int
    queries: int
    keys: int
    depth: int
    outputs: int
    mask: tuple[int, ...] | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Queries, keys and values as the network has them: tokens, then heads."""
        sizes = {"q": (self.queries, self.depth), "k": (self.keys, self.depth), "v": (self.keys, self.outputs)}
        return {name: (self.batch, tokens, self.heads, size) for name, (tokens, size) in sizes.items()}

    @property
    def added(self) -> networks.Array | None:
        """The mask, which shuts out some keys."""
        if self.mask is None:
            return None
        return np.where(networks.random(self.mask, 3) > 0.8, -1e9, networks.random(self.mask, 4)).astype(np.float32)

    def network(self, quantized: bool = False) -> onnx.ModelProto:
        """Return the network, as exporters write it, from queries, keys and values in one tensor."""
        network = Network()

        def kept(name: str, scale: float = 0.03, zero: int = 120) -> str:
            return network.pair(name, Scale(scale, zero)) if quantized else name

        ends = [prod(shape) for shape in self.shapes.values()]
        network.weights["sizes"] = np.array(ends)
        network.nodes.append(helper.make_node("Split", [kept("x"), "sizes"], list("abc"), axis=0))
        axes = {"q": [0, 2, 1, 3], "k": [0, 2, 3, 1], "v": [0, 2, 1, 3]}
        for flat, (name, shape) in zip("abc", self.shapes.items(), strict=True):
            network.weights[f"{name} shape"] = np.array(shape)
            network.node("Reshape", [kept(flat), f"{name} shape"], f"{name} tokens")
            network.node("Transpose", [kept(f"{name} tokens")], name, perm=axes[name])
        network.weights["scale"] = np.array(1 / sqrt(self.depth), np.float32)
        network.node("MatMul", [kept("q"), kept("k")], "products")
        network.node("Mul", [kept("products", 0.05 * sqrt(self.depth)), "scale"], "scaled")
        score = "scaled"
        if (added := self.added) is not None:
            network.weights["mask"] = added
            score = network.node("Add", [score, "mask"], "masked")
        network.node("Softmax", [score], "shares", axis=-1)
        network.node("MatMul", [kept("shares", 1 / 255, 0), kept("v")], "mixed")
        output = network.node("Relu", ["mixed"], "y") if not quantized else kept("mixed", 0.02)
        return network.model((sum(ends),), output)

    def data(self) -> networks.Array:
        return np.concatenate([networks.random((prod(s),), i) for i, s in enumerate(self.shapes.values())])

    def expected(self) -> networks.Array:
        ends = np.cumsum([prod(shape) for shape in self.shapes.values()])[:-1]
        parts = zip(np.split(self.data().astype(np.float64), ends), self.shapes.values(), strict=True)
        q, k, v = (part.reshape(shape).transpose(0, 2, 1, 3) for part, shape in parts)
        scores = q @ k.swapaxes(-1, -2) / sqrt(self.depth)
        if (added := self.added) is not None:
            # In float32, as the network adds it: where every key is shut out, their scores differ no more.
            scores = (scores.astype(np.float32) + added).astype(np.float64)
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        return np.asarray(np.maximum(shares / shares.sum(-1, keepdims=True) @ v, 0), np.float32)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    batch, heads, queries, keys = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(QUERIES), draw(SIZES)
    masks = st.sampled_from([None, (keys,), (queries, keys), (heads, queries, keys), (batch, 1, 1, keys)])
    return Case(batch, heads, queries, keys, draw(SIZES), draw(SIZES), draw(masks))


def operators(compiled: dlas_ops.Compiled) -> list[str]:
    return [layer.operator for layer in compiled.layers]


@pytest.mark.parametrize("examples", EXAMPLES)
def test_is_what_numpy_computes(examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(cases(), st.sampled_from(["float32", "float32", "float16", "bfloat16"]))
    def drawn(case: Case, dtype: str) -> None:
        compiled = dlas_ops.compile(case.network(), networks.target(), algorithm="direct", dtype=dtype)
        networks.assert_close(networks.run(compiled, case.data()), case.expected(), TOLERANCES[dtype])
        [layer] = compiled.layers
        scores = case.batch * case.heads * case.queries * case.keys
        assert (layer.operator, layer.ran, layer.macs) == (
            "attention",
            "attention",
            scores * (case.depth + case.outputs),
        )

    drawn()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_is_what_onnx_computes_of_8_bit_integers(examples: int) -> None:
    @settings(SETTINGS, max_examples=examples)
    @given(cases())
    def drawn(case: Case) -> None:
        network = case.network(quantized=True)
        compiled = dlas_ops.compile(network, networks.target(), algorithm="direct", dtype="int8")
        assert operators(compiled) == ["attention"]
        difference = np.abs(networks.run(compiled, case.data()) - networks.run_reference(network, case.data()))
        # Each rounds floats, which come out a little different, to integers.
        assert difference.max() <= 1.001 * 0.02 * 2
        assert (difference > 0.01).mean() < 0.03

    drawn()


def test_integers_are_read_as_they_are_however_they_were_moved() -> None:
    lowered = dlas_ops.lower(
        Case(1, 2, 16, 16, 8, 8).network(quantized=True), networks.target(), algorithm="direct", dtype="int8"
    )
    first, last = networks.calls(lowered.module)
    assert (first, last.startswith("fused_attention_quantize")) == ("quantize", True)


@pytest.mark.parametrize("mcpu", ["x86-64-v2", "x86-64-v3", "skylake-avx512"])
def test_every_vector_is_right(mcpu: str) -> None:
    case, target = Case(1, 2, 37, 29, 20, 12), named(mcpu)
    compiled = dlas_ops.compile(case.network(), target, algorithm="direct")
    if networks.NEEDED.get(mcpu, "avx512bw") not in networks.x86_flags():
        pytest.skip("the program was built, not run")
    networks.assert_close(networks.run(compiled, case.data()), case.expected(), 1e-5)


def test_arm_is_right(tmp_path: Path) -> None:
    case, target = Case(1, 2, 37, 29, 20, 12), named("cortex-a72", cores=4)
    lowered = dlas_ops.lower(case.network(), target, algorithm="direct")
    dlas_ops.build(lowered, target)
    if not emulated.available():
        pytest.skip("gcc-aarch64-linux-gnu or qemu-user-static is not installed: the program was built, not run")
    networks.assert_close(emulated.run(lowered, target, case.data(), tmp_path), case.expected(), 1e-5)


def test_few_queries_leave_no_lanes_idle() -> None:
    case = Case(1, 2, 1, 60, 16, 16)
    compiled = dlas_ops.compile(case.network(), named("znver4"), algorithm="direct")
    assert operators(compiled) == ["matmul", "softmax", "matmul"]


def test_scores_that_something_else_reads_are_written() -> None:
    case: Any = Case(1, 1, 16, 16, 8, 8)
    model = case.network()
    model.graph.node.extend([helper.make_node("Add", ["y", "total"], ["z"])])
    model.graph.node.insert(len(model.graph.node) - 1, helper.make_node("ReduceSum", ["shares"], ["total"], keepdims=1))
    model.graph.output[0].name = "z"
    compiled = dlas_ops.compile(model, networks.target(), algorithm="direct")
    assert "attention" not in operators(compiled)
    networks.assert_close(networks.run(compiled, case.data()), case.expected() + 16, 1e-5)


def test_the_scores_of_a_block_fit_the_cache() -> None:
    cpu = describe_cpu(named("znver4"))
    for keys in (16, 197, 1024, 4096):
        vectors = attention.block_vectors(6, (keys, 64, keys, 64), cpu)
        assert attention.BUFFERS * keys * vectors * cpu.vector_bits // 8 <= cpu.l2_bytes
    assert attention.block_vectors(6, (1 << 20, 64, 1 << 20, 64), cpu) == 1
