"""What every compression must do; a new file in `explorer.compression` is tested by being there."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from explorer.compression import compressor
from explorer.core import plugins
from explorer.core.configuration import Configuration, parts, takes_ratio
from explorer.core.settings import MeasureSettings
from explorer.line import costs
from explorer.line.training import accounting
from explorer.processes.pool import Worker
from tests import studies
from tests.contract.networks import DEEP, SHAPES, compiled_outputs, error_of, exported, model_of, settle
from tests.torch_stages import weights_of

RATIOS = (0.5, 0.9)
# Those that only store in another dtype leave the model to the stages that lower it.
COMPRESSIONS = [name for name in plugins.names("compression") if plugins.defines("compression", name, "compress")]


def untrained(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
    """Fine-tune nothing."""


# Every compression, and combinations of those that change the network's shape, its zeros and its dtype.
COMBINED = ("channel_pruning+weight_pruning", "channel_pruning+int8", "weight_pruning+int8", "weight_pruning+float16")
MATRIX = [
    pytest.param(compression, name, shape, marks=() if name == studies.SMALL else pytest.mark.nightly)
    for compression in sorted({*plugins.names("compression"), *COMBINED} - {"none"})
    for name, shapes in ((studies.SMALL, SHAPES[:1]), *((name, SHAPES) for name in plugins.names("model")))
    for shape in shapes
]


# Times the error that is allowed of trained networks: without training, 8 bits cost MobileNetV1 0.24 in any algorithm.
UNTRAINED = {"bfloat16": 1.5}


@pytest.mark.parametrize(("compression", "name", "shape"), MATRIX)
def test_what_is_compressed_compiles(
    compression: str, name: str, shape: tuple[int, int, int], worker: Worker, tmp_path: Path
) -> None:
    stack = Configuration("digits", name, compression=compression)
    example = torch.zeros(1, *shape)
    model = model_of(name, shape=shape)
    before = accounting.account(model, example)
    for part in parts(stack.in_float32):
        ratio = 0.8 if part == "weight_pruning" else 0.5 if takes_ratio(part) else None
        model = compressor(part)(model, ratio, example, untrained)
    left = costs.total(accounting.account(model, example), "nonzeros") / costs.total(before, "nonzeros")
    assert left < 0.6 if takes_ratio(compression) else left == 1
    exported(settle(model, shape), shape, tmp_path)
    stored = stack.dtype
    for format in ("dense", "csr") if "weight_pruning" in compression and stored == "float32" else ("dense",):
        outputs = compiled_outputs(worker, tmp_path, format, stored)
        assert error_of(tmp_path, outputs) < MeasureSettings().allowed(stored) * UNTRAINED.get(stored, 1)


@cache
def compressed(name: str, model_name: str, ratio: float | None) -> tuple[nn.Module, list[float]]:
    """Return what the compression makes of the model, and the shares of the fine-tuning that it asked for."""
    shares: list[float] = []

    def fine_tune(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
        shares.append(share)
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=1e-3)
        for _ in range(2):
            loss = nn.functional.cross_entropy(model.train()(torch.randn(8, 1, 8, 8)), torch.arange(8))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    return compressor(name)(model_of(model_name), ratio, torch.zeros(1, 1, 8, 8), fine_tune), shares


# torch-pruning takes 7 s for DenseNet's joins of up to 37 layers, and torch.export as long for a hundred convolutions.
LONG = {
    *((name, model) for name in ("channel_pruning", "weight_pruning") for model in DEEP),
    *(("int8_qat", model) for model in plugins.names("model") if model != "resnet18"),
}
PAIRS = [
    pytest.param(name, model, marks=[pytest.mark.nightly] if (name, model) in LONG else [])
    for name in COMPRESSIONS
    for model in plugins.names("model")
]


@pytest.mark.parametrize(("name", "model_name"), PAIRS)
class TestCompression:
    @pytest.mark.parametrize("ratio", RATIOS)
    def test_the_compressed_model_still_classifies(self, name: str, model_name: str, ratio: float) -> None:
        model, shares = compressed(name, model_name, ratio if takes_ratio(name) else None)
        assert model.eval()(torch.randn(3, 1, 8, 8)).shape == (3, 10)
        assert sum(shares) <= 1 + 1e-9
        assert all(weight.is_leaf and weight.count_nonzero() for weight in weights_of(model))

    def test_the_shapes_that_it_leaves_do_not_depend_on_fine_tuning(self, name: str, model_name: str) -> None:
        changes = plugins.literal("compression", name, "CHANGES_SHAPES", default=None)
        ratio = RATIOS[0] if takes_ratio(name) else None
        expected = model_of(model_name)
        if changes:
            expected = compressor(name)(expected, ratio, torch.zeros(1, 1, 8, 8), untrained)
        left = [weight.shape for weight in weights_of(compressed(name, model_name, ratio)[0])]
        assert changes is None or left == [weight.shape for weight in weights_of(expected)]

    def test_a_higher_ratio_leaves_less(self, name: str, model_name: str) -> None:
        left = [
            sum(int(weight.count_nonzero()) for weight in weights_of(compressed(name, model_name, ratio)[0]))
            for ratio in (RATIOS if takes_ratio(name) else (None, None))
        ]
        whole = sum(weight.numel() for weight in weights_of(model_of(model_name)))
        if takes_ratio(name):
            assert whole > left[0] > left[1] > 0
        else:
            assert left == [whole, whole]


def dtype(compression: str) -> str:
    return Configuration("digits", "resnet18", compression=compression).dtype


@pytest.mark.parametrize("name", [name for name in plugins.names("compression") if dtype(name) != "float32"])
def test_an_algorithm_has_kernels_for_the_dtype(name: str) -> None:
    having = [own for own in plugins.names("algorithm") if dtype(name) in plugins.literal("algorithm", own, "DTYPES")]
    assert {"direct", "gemm", "auto"} <= {*having}
    assert not takes_ratio(name)
