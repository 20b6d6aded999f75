"""What every data set, model and compression must do; a new file in one of their folders is tested by being there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from explorer.compression import channel_pruning
from explorer.core import plugins
from explorer.core.configuration import Configuration, parts, takes_ratio
from explorer.core.settings import MeasureSettings
from explorer.datasets import SPLITS, Options, Splits, channel_sums
from explorer.line import prepared
from explorer.line.training import accounting
from explorer.line.training.augmentation import AUGMENTATIONS
from explorer.line.training.onnx_export import export
from explorer.processes.pool import Worker
from tests import data_sets
from tests.torch_stages import onnx_outputs

SHAPES = ((1, 8, 8), (3, 32, 32))
RATIOS = (0.5, 0.9)
IMAGES = 4
DEEP = ("densenet161", "efficientnet_b0", "resnet50")  # exporting and compiling their many layers takes long
# Those that only store in another dtype leave the model to the stages that lower it.
COMPRESSIONS = [name for name in plugins.names("compression") if plugins.defines("compression", name, "compress")]


def model_of(name: str, width: float = 0.25, classes: int = 10, shape: tuple[int, int, int] = (1, 8, 8)) -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = plugins.load("model", name).build(width, classes, shape)
    return model


def weights_of(model: nn.Module) -> list[Tensor]:
    return [module.weight for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize("name", plugins.names("dataset"))
class TestDataset:
    @pytest.fixture
    def load(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Splits]:
        root = data_sets.small(name, tmp_path, monkeypatch)
        load = plugins.load("dataset", name).load
        return lambda seed: load(Options(seed=seed, image_size=24, root=root))

    def test_splits_are_labelled_images_of_one_shape(self, name: str, load: Callable[[int], Splits]) -> None:
        splits = load(0)
        for images in (getattr(splits, split) for split in SPLITS):
            pixels = images.pixels(np.arange(len(images)))
            assert pixels.dtype == np.uint8
            assert pixels.shape == (len(images), *splits.train.shape)
            assert images.labels.dtype == np.int64
            assert images.labels.shape == (len(images),)
            assert set(np.unique(images.labels)) == set(range(len(splits.classes)))
            np.testing.assert_array_equal(images.sums(), channel_sums(pixels).sum(0))
            np.testing.assert_array_equal(images.part(np.array([2, 0])).pixels(np.array([1])), pixels[:1])

    def test_no_image_lies_in_two_splits(self, name: str, load: Callable[[int], Splits]) -> None:
        splits = load(0)
        images = [getattr(splits, split) for split in SPLITS]
        seen = [{image.tobytes() for image in each.pixels(np.arange(len(each)))} for each in images]
        assert not seen[0] & seen[1]
        assert not (seen[0] | seen[1]) & seen[2]

    def test_the_seed_decides_the_split(self, name: str, load: Callable[[int], Splits], tmp_path: Path) -> None:
        digests = []
        for index, seed in enumerate((1, 1, 2)):
            folder = tmp_path / f"{index}"
            folder.mkdir()
            digests.append(prepared.save(load(seed), folder)["digest"])
        assert digests[0] == digests[1] != digests[2]

    def test_its_augmentations_exist(self, name: str) -> None:
        assert set(plugins.literal("dataset", name, "AUGMENT")) <= set(AUGMENTATIONS)


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
        assert accounting.total(narrow, "macs") < 0.3 * accounting.total(wide, "macs")

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


def exported(model: nn.Module, shape: tuple[int, int, int], folder: Path) -> None:
    """Write network.onnx, images.npy and logits.npy, as torch computes them, into `folder`."""
    images = torch.randn(IMAGES, *shape)
    export(model, torch.zeros(1, *shape), folder / "network.onnx")
    with torch.no_grad():
        logits = model.eval()(images)
    assert (logits.std(dim=0) > 0.01 * logits.abs().max()).any(), "logits that ignore the image agree with anything"
    np.save(folder / "images.npy", images.numpy())
    np.save(folder / "logits.npy", logits.numpy())


def settle(model: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """Give batch norms the statistics of a batch, to fold: pruned layers without make logits that are all biases."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain mean over all batches seen since the reset
            module.reset_running_stats()
    with torch.no_grad():
        model.train()(torch.randn(32, *shape))
    return model.eval()


def error_of(folder: Path, outputs: NDArray[np.float32]) -> float:
    """Return the largest difference from torch's logits in `folder`, relative to the largest logit."""
    expected = np.load(folder / "logits.npy")
    assert outputs.shape == expected.shape
    return float(np.abs(outputs - expected).max() / np.abs(expected).max())


def marks_of(name: str, shape: tuple[int, int, int]) -> pytest.MarkDecorator:
    return pytest.mark.slow if shape == SHAPES[0] and name not in DEEP else pytest.mark.nightly


NETWORKS = [
    pytest.param(name, shape, marks=marks_of(name, shape)) for name in plugins.names("model") for shape in SHAPES
]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker("tvm", "tvm 1", tmp_path_factory.mktemp("worker") / "tvm.log", threads=2)
    yield worker
    worker.stop()


def compiled_outputs(worker: Worker, folder: Path, format: str, dtype: str = "float32") -> NDArray[np.float32]:
    """Return what the network in `folder` computes, compiled with direct convolutions in `format` and `dtype`."""
    arguments = {"folder": str(folder), "format": format, "dtype": dtype}
    ran = worker.request({"call": "tests.compiled:run_direct", "arguments": arguments})
    assert f"direct/{format} {dtype}" in ran
    return np.asarray(np.load(folder / f"{format}.npy"))


@pytest.mark.parametrize(("name", "shape"), NETWORKS)
def test_what_is_exported_and_what_is_compiled_compute_what_torch_does(
    name: str, shape: tuple[int, int, int], worker: Worker, tmp_path: Path
) -> None:
    exported(settle(model_of(name, shape=shape), shape), shape, tmp_path)
    images = np.load(tmp_path / "images.npy")
    assert error_of(tmp_path, onnx_outputs(tmp_path / "network.onnx", images)) < 1e-4
    assert error_of(tmp_path, compiled_outputs(worker, tmp_path, "dense")) < 1e-3


# Every compression, and combinations of those that change the network's shape, its zeros and its dtype.
COMBINED = ("channel_pruning+weight_pruning", "channel_pruning+int8", "weight_pruning+int8", "weight_pruning+float16")
MATRIX = [
    pytest.param(compression, name, shape, marks=pytest.mark.slow if quick else pytest.mark.nightly)
    for compression in sorted({*plugins.names("compression"), *COMBINED} - {"none"})
    for name in plugins.names("model")
    for shape in SHAPES
    for quick in [(name, shape) == ("resnet18", SHAPES[0])]
]


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
        model = plugins.load("compression", part).compress(
            model, ratio, example, lambda model, share=1.0, pace=1.0: None
        )
    left = accounting.total(accounting.account(model, example), "nonzeros") / accounting.total(before, "nonzeros")
    assert left < 0.6 if takes_ratio(compression) else left == 1
    exported(settle(model, shape), shape, tmp_path)
    stored = stack.dtype
    for format in ("dense", "csr") if "weight_pruning" in compression and stored == "float32" else ("dense",):
        outputs = compiled_outputs(worker, tmp_path, format, stored)
        assert error_of(tmp_path, outputs) < MeasureSettings().allowed(stored)


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

    plugin = plugins.load("compression", name)
    return plugin.compress(model_of(model_name), ratio, torch.zeros(1, 1, 8, 8), fine_tune), shares


# torch-pruning takes 7 s for DenseNet's joins of up to 37 layers, and torch.export as long for a hundred convolutions.
LONG = {("channel_pruning", DEEP[0]), *(("int8_qat", model) for model in plugins.names("model") if model != "resnet18")}
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
            without = plugins.load("compression", name)
            expected = without.compress(
                expected, ratio, torch.zeros(1, 1, 8, 8), lambda model, share=1.0, pace=1.0: None
            )
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


@pytest.mark.parametrize("multiple", [3, 16])
@pytest.mark.parametrize(
    "model_name",
    [pytest.param(model, marks=[pytest.mark.nightly] if model == DEEP[0] else []) for model in plugins.names("model")],
)
def test_channels_are_kept_in_any_multiple(model_name: str, multiple: int) -> None:
    """Also where channels are added, concatenated, squeezed or convolved one by one, and in how many steps ever."""
    widths = []
    example = torch.zeros(1, 1, 8, 8)
    before = accounting.account(model_of(model_name), example)
    for steps in (1, 2):
        model = channel_pruning.compress(
            model_of(model_name), 0.5, example, perturb, channel_multiple=multiple, steps=steps
        )
        assert model(torch.randn(3, 1, 8, 8)).shape == (3, 10)
        widths.append({name: layer["channels"] for name, layer in accounting.account(model, example).items()})
    assert widths[0] == widths[1]
    *body, _ = before
    for name in body:
        whole = before[name]["channels"]
        assert widths[0][name] % multiple == 0 if whole > multiple else widths[0][name] == whole


@torch.no_grad()
def perturb(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
    """Change which channels are the least, as fine-tuning does."""
    for parameter in model.parameters():
        parameter.mul_(1 + 0.1 * torch.randn_like(parameter))


def dtype(compression: str) -> str:
    return Configuration("digits", "resnet18", compression=compression).dtype


@pytest.mark.parametrize("name", [name for name in plugins.names("compression") if dtype(name) != "float32"])
def test_an_algorithm_has_kernels_for_the_dtype(name: str) -> None:
    having = [own for own in plugins.names("algorithm") if dtype(name) in plugins.literal("algorithm", own, "DTYPES")]
    assert {"direct", "gemm", "auto"} <= {*having}
    assert not takes_ratio(name)
