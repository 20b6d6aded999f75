"""What every model must do; a new file in `explorer.models` is tested by being there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from explorer.core import plugins
from explorer.line import costs
from explorer.line.training import accounting
from explorer.processes.pool import Worker
from explorer.results.trials.account import coverage_of
from tests import studies
from tests.contract.networks import DEEP, SHAPES, compiled_outputs, error_of, exported, model_of, settle
from tests.torch_stages import onnx_outputs


@pytest.mark.parametrize("name", plugins.names("model"))
class TestModel:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_images_become_logits(self, name: str, shape: tuple[int, int, int]) -> None:
        model = model_of(name, classes=7, shape=shape).eval()
        assert model(torch.randn(2, *shape)).shape == (2, 7)

    def test_width_scales_the_channels_in_multiples_of_8(self, name: str) -> None:
        narrow, wide = (accounting.account(model_of(name, width), torch.zeros(1, 1, 8, 8)) for width in (0.25, 1.0))
        # What a gate squeezes a map into is a quarter of a block's input, in the published EfficientNet-B0 as well.
        *body, classifier = (layer for layer_name, layer in narrow.items() if not layer_name.endswith(".fc1"))
        assert all(layer["channels"] % 8 == 0 for layer in body)
        assert classifier["channels"] == 10
        assert costs.total(narrow, "macs") < 0.3 * costs.total(wide, "macs")

    def test_the_seed_decides_the_weights(self, name: str) -> None:
        first, second = model_of(name).state_dict(), model_of(name).state_dict()
        assert all(torch.equal(first[key], second[key]) for key in first)

    def test_training_is_deterministic(self, name: str) -> None:
        """Operators without a deterministic kernel raise; dropout and stochastic depth draw from torch's generator."""
        shape = (1, 72, 72)  # so that the layers for large images train as well

        def trained() -> dict[str, Tensor]:
            model = model_of(name, shape=shape).train()
            loss = nn.functional.cross_entropy(model(torch.randn(4, *shape)), torch.arange(4))
            loss.backward()  # type: ignore[no-untyped-call]
            torch.optim.SGD(model.parameters(), 0.1).step()
            return model.state_dict()

        before = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            first, second = trained(), trained()
        finally:
            torch.use_deterministic_algorithms(before)
        assert all(torch.equal(first[key], second[key]) for key in first)
        untrained = model_of(name, shape=shape).state_dict()
        assert not any(torch.equal(first[key], untrained[key]) for key in first if key.endswith("weight"))


# The study `grid` compares the answers of two of them with torch's; the third has the second one's layers.
STUDIED = ("resnet18", "mobilenetv2", "efficientnet_lite0")


def marks_of(name: str, shape: tuple[int, int, int]) -> pytest.MarkDecorator:
    return pytest.mark.slow if shape == SHAPES[0] and name not in (*DEEP, *STUDIED) else pytest.mark.nightly


NETWORKS = [
    pytest.param(name, shape, marks=marks_of(name, shape)) for name in plugins.names("model") for shape in SHAPES
]


@pytest.mark.parametrize(("name", "shape"), NETWORKS)
def test_what_is_exported_and_what_is_compiled_compute_what_torch_does(
    name: str, shape: tuple[int, int, int], worker: Worker, tmp_path: Path
) -> None:
    exported(settle(model_of(name, shape=shape), shape), shape, tmp_path)
    images = np.load(tmp_path / "images.npy")
    assert error_of(tmp_path, onnx_outputs(tmp_path / "network.onnx", images)) < 1e-4
    assert error_of(tmp_path, compiled_outputs(worker, tmp_path, "dense")) < 1e-3


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name == studies.SMALL else pytest.mark.nightly)
        for name in (studies.SMALL, *plugins.names("model"))
    ],
)
def test_several_images_are_each_what_it_is_alone(name: str, worker: Worker, tmp_path: Path) -> None:
    exported(settle(model_of(name), SHAPES[0]), SHAPES[0], tmp_path)
    # Three images at once, and of the fourth three copies.
    assert error_of(tmp_path, compiled_outputs(worker, tmp_path, "dense", batch=3)) < 1e-3
    alone, together = (compiled_outputs(worker, tmp_path, "dense", "int8", batch) for batch in (1, 3))
    np.testing.assert_array_equal(alone, together)


STACKS = (("direct", "dense", "float32"), ("winograd", "dense", "float16"), ("gemm", "csr", "float32"),
          ("spatial_pack", "dense", "int8"))  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", plugins.names("model"))
def test_the_account_has_every_product_that_torch_counts(
    name: str, shape: tuple[int, int, int], worker: Worker, tmp_path: Path
) -> None:
    """However a network is laid out, its shares are of torch's products and weights, and add up to all of them."""
    model = settle(model_of(name, shape=shape), shape)
    exported(model, shape, tmp_path)
    # The counter has no formula for the fused attention of CPUs; its parts it counts.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *shape))
    weights = costs.total(accounting.account(model, torch.zeros(1, *shape)), "weights")
    for algorithm, format, dtype in STACKS:
        arguments = {"folder": str(tmp_path), "algorithm": algorithm, "format": format, "dtype": dtype}
        covered = coverage_of(worker.request({"call": "tests.compiled:account", "arguments": arguments}))
        assert covered is not None
        assert (2 * covered.macs, covered.weights) == (counter.get_total_flops(), weights)
        parts = (covered.as_asked, covered.not_as_asked, covered.nothing_asked)
        assert sum(part.macs for part in parts) == pytest.approx(1)
        assert sum(part.weights for part in parts) == pytest.approx(1)
