"""Networks that are slower than expected from their work for one reason each, compiled and timed: the cause is found.

The times are real. Other tests run beside these, so that a measurement may be disturbed: it is then taken again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper
from tvm import rpc as tvm_rpc

import dlas_ops
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.onnx import quantization
from dlas_ops.processor.targets import native_target
from explorer.core.artifact import Artifact
from explorer.line.checking.reference import Reference
from explorer.line.device import rpc
from explorer.profiles import causes
from explorer.profiles.causes import Finding, break_even, findings
from explorer.profiles.profile import Profile, load
from explorer.profiles.versus import versus
from tests import torch_stages
from tests.dlas_ops import small_networks as networks

pytestmark = pytest.mark.slow

PROTOCOL = {"threads": 1, "samples": 8, "sample_ms": 4.0, "warmup_ms": 4.0, "device": "local"}
Compiled = Callable[..., Mapping[str, Artifact]]
Profiles = Callable[..., Profile]
ATTEMPTS = 4
FAILURES = 2  # of attempts whose sessions are alike: all of a profile's may meet the host's other load
QUIET = 1.1  # the ends of an interval of sessions that are alike: SPREAD alone has 1.06


def undisturbed(test: Callable[[Profiles], None]) -> Callable[[Profiles], None]:
    """Return `test` with several attempts; it is skipped if it failed and the machine was hardly ever quiet.

    Two cores that are one of the host's take up to twice their time by turns; no cause is said of such times.
    """

    @functools.wraps(test)
    def attempted(profiled: Profiles) -> None:
        taken: list[Profile] = []

        def noted(*arguments: Any, **choices: Any) -> Profile:
            taken.append(profiled(*arguments, **choices))
            return taken[-1]

        failed = 0
        for _ in range(ATTEMPTS):
            taken.clear()
            try:
                return test(noted)
            except AssertionError:
                failed += all(row.us.high < QUIET * row.us.low for each in taken for row in each.rows if row.macs)
                if failed == FAILURES:
                    raise
        pytest.skip(f"in {ATTEMPTS} attempts the sessions of a profile were alike {failed} times")

    return attempted


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    """Return a function that takes an ONNX network down the stages to its two libraries, each network once."""

    @functools.cache
    def compile(network: bytes, mcpu: str, **choices: str) -> Mapping[str, Artifact]:
        folder, model = tmp_path_factory.mktemp("compiled"), onnx.load_model_from_string(network)
        shape = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
        images = networks.random([4, *shape[1:]])
        if choices.get("dtype") == "int8" and not quantization.is_quantized(model):
            model = dlas_ops.quantize(model, images)
        onnx.save(model, folder / "network.onnx")
        Reference(images, np.zeros((4, 10), np.float32)).save(folder)
        reference: Artifact = Artifact("compress", "network", folder)
        target = {"target": {**native_target(), **({"mcpu": mcpu} if mcpu else {})}}
        asked = {"algorithm": "direct", "format": "dense", "dtype": "float32", **choices, **target}
        lowered = torch_stages.execute("lower", folder, asked, network=reference)
        built = torch_stages.execute("build", folder, target, lower=lowered)
        ticking = torch_stages.execute("instrument", folder, target, network=reference, lower=lowered)
        return {"network": reference, "lower": lowered, "build": built, "instrument": ticking}

    return compile


@pytest.fixture
def profiled(compiled: Compiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profiles:
    """Return a function that times an ONNX network's libraries, on a device in this process."""
    monkeypatch.setattr(rpc, "connect", lambda *arguments: tvm_rpc.LocalSession())
    monkeypatch.setattr(rpc, "set_threads", lambda *arguments: None)

    def profile(model: onnx.ModelProto, mcpu: str = "", sessions: int = 3, **choices: str) -> Profile:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        parents = compiled(model.SerializeToString(), mcpu, **choices)
        found = load(
            torch_stages.execute("profile", folder, {**PROTOCOL, "sessions": sessions}, **parents).path, "local"
        )
        assert found is not None
        return found

    return profile


def chain(channels: int, weights: Callable[[str, Conv], NDArray[np.float32]] | None = None) -> onnx.ModelProto:
    """Return two convolutions of 3 x 3 with so many channels; `weights` may be others than drawn ones."""
    conv = Conv(1, channels, 16, 16, channels, (3, 3), padding=(1, 1, 1, 1))
    nodes = [
        networks.conv_node(conv, ["x", "w0"], "a"), helper.make_node("Relu", ["a"], ["b"]),
        networks.conv_node(conv, ["b", "w1"], "y"),
    ]  # fmt: skip
    made = weights or (lambda name, conv: networks.weights_of(conv, int(name[1:])))
    return networks.model(nodes, networks.shape_of(conv), {name: made(name, conv) for name in ("w0", "w1")})


def pruned(share: float) -> Callable[[str, Conv], NDArray[np.float32]]:
    """Return weights of which this share, drawn at random, is zero."""

    def weights(name: str, conv: Conv) -> NDArray[np.float32]:
        made = networks.weights_of(conv, int(name[1:]))
        zeros = np.random.default_rng(7).permutation(made.size)[: round(share * made.size)]
        made.flat[zeros] = 0.0
        return made

    return weights


def by_layer(own: Profile, base: Profile) -> Mapping[str, Finding]:
    return {each.layer: each for each in findings(versus(own, base)) if each.layer}


@undisturbed
def test_zeros_stored_dense(profiled: Profiles) -> None:
    base = profiled(chain(64))
    found = by_layer(profiled(chain(64, pruned(0.75))), base)
    assert {name: each.cause for name, each in found.items()} == dict.fromkeys(("w0", "w1"), causes.ZEROS)
    assert "75% of its weights are zero" in found["w0"].evidence


@undisturbed
def test_csr_with_half_of_the_weights(profiled: Profiles) -> None:
    base = profiled(chain(64))
    own = profiled(chain(64, pruned(0.5)), format="csr")
    found = by_layer(own, base)
    assert {each.cause for each in found.values()} == {causes.CSR}
    for pair in versus(own, base).pairs:
        assert pair.achieved.low > pair.expected
        assert 0.2 < break_even(pair) < 1


@undisturbed
def test_csr_with_a_twentieth_of_the_weights(profiled: Profiles) -> None:
    base = profiled(chain(64))
    held = versus(profiled(chain(64, pruned(0.95)), format="csr"), base)
    for pair in held.pairs:
        assert pair.achieved.value < 0.7
        assert 0.05 < break_even(pair) < 1
    assert {each.cause for each in findings(held) if each.layer} <= {causes.CSR}


@pytest.mark.nightly  # beside other tests it is mostly skipped, after all attempts
@undisturbed
def test_61_channels_leave_lanes_idle_and_64_would_take_as_long(profiled: Profiles) -> None:
    held = versus(profiled(chain(61), sessions=10), profiled(chain(64), sessions=10))
    found = {each.layer: each for each in findings(held) if each.layer}
    assert {each.cause for each in found.values()} == {causes.LANES}
    assert all("61 output channels are computed in vectors of" in each.evidence for each in found.values())
    for pair in held.pairs:
        assert pair.achieved.value == pytest.approx(61 / 64, abs=0.03), "only inputs are computed one by one"


@pytest.mark.skipif("avx2" not in networks.x86_flags(), reason="this processor has no AVX2")
@undisturbed
def test_int8_without_its_instruction(profiled: Profiles) -> None:
    base = profiled(chain(64), "x86-64-v3")
    found = by_layer(profiled(chain(64), "x86-64-v3", dtype="int8"), base)
    assert {each.cause for each in found.values()} == {causes.NO_DOT}
    assert "vpmaddwd" in found["w1"].evidence


def narrowed_but_for_the_last() -> onnx.ModelProto:
    """Return the two convolutions on 8-bit integers, but for the weights of the second one."""
    model = dlas_ops.quantize(chain(64), networks.random([4, 64, 16, 16]))
    *_, last = (node for node in model.graph.node if node.op_type == "Conv")
    last.input[1] = "w1"
    weight = next(tensor for tensor in chain(64).graph.initializer if tensor.name == "w1")
    model.graph.initializer.append(weight)
    return model


@undisturbed
def test_a_layer_that_falls_back(profiled: Profiles) -> None:
    base = profiled(chain(64))
    found = by_layer(profiled(narrowed_but_for_the_last(), dtype="int8"), base)
    assert found["w1"].cause == causes.FELL_BACK
    assert "it runs in float32, where the network has narrower layers: int8 takes" in found["w1"].evidence


SLOW = 8


def beside_slow_ones(channels: int) -> onnx.ModelProto:
    """Return a network with most of its work in one convolution, and most of its time in others."""
    slow = Conv(1, 64, 48, 48, 64, (3, 3), padding=(1, 1, 1, 1), groups=64)
    large = Conv(1, 64, 48, 48, channels, (3, 3), padding=(1, 1, 1, 1), stride=(4, 4))
    weights: dict[str, Any] = {f"d{index}": networks.weights_of(slow, index) for index in range(SLOW)}
    names = ["x", *(f"a{index}" for index in range(SLOW))]
    nodes = [networks.conv_node(slow, [names[index], f"d{index}"], names[index + 1]) for index in range(SLOW)]
    nodes.append(networks.conv_node(large, [names[-1], "w"], "y"))
    return networks.model(nodes, networks.shape_of(slow), {**weights, "w": networks.weights_of(large)})


@undisturbed
def test_the_layer_was_never_where_the_time_went(profiled: Profiles) -> None:
    found = findings(versus(profiled(beside_slow_ones(16)), profiled(beside_slow_ones(512))))
    elsewhere = next(each for each in found if each.cause == causes.ELSEWHERE)
    assert elsewhere.us > sum(each.us for each in found if each.layer)
    assert elsewhere.evidence.startswith(f"{SLOW} layers, ")
