"""Networks of people's own: exported, compressed and compiled right, or refused in one sentence that says where."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from explorer.compression import compressor, make_plain, noted, weighted
from explorer.compression._silence import differs, silenced, survivors, tag
from explorer.core.errors import StageFailed
from explorer.line import costs
from explorer.line.task import LABELS, Task
from explorer.line.training import accounting, checks
from explorer.line.training.losses import Loss
from explorer.line.training.onnx_export import export
from explorer.processes.pool import Worker
from tests import forks, own_networks
from tests.contract.networks import compiled_outputs, error_of, exported, settle
from tests.own_networks import CLASSES, SHAPE
from tests.torch_stages import onnx_outputs

EXAMPLE = torch.randn((1, *SHAPE), generator=torch.Generator().manual_seed(0))


def network(name: str) -> nn.Module:
    """Return a network in evaluation mode, all weights plain, its norms with statistics to fold."""
    torch.manual_seed(0)
    model = make_plain(getattr(own_networks, name)())
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    return model.eval()


def untrained(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
    """Fine-tune nothing."""


def trained_once(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None:
    optimizer = torch.optim.SGD([own for own in model.parameters() if own.requires_grad], 0.01)
    nn.functional.cross_entropy(model.train()(torch.randn(8, *SHAPE)), torch.arange(8)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()


@pytest.mark.parametrize(
    ("name", "left"),
    [
        ("recurrent", 0), ("own_norms", 2), ("with_and_without", 1), ("siamese", 0), ("one_norm", 0),
        ("read_elsewhere", 1), ("transposed", 0), ("rows_normed", 1), ("weight_norm", 0),
    ],
)  # fmt: skip
def test_a_batch_norm_is_folded_only_where_nothing_else_reads_the_layer(name: str, left: int, tmp_path: Path) -> None:
    model, images = network(name), torch.randn(3, *SHAPE)
    export(model, images[:1], tmp_path / "network.onnx")
    nodes = onnx.load(tmp_path / "network.onnx").graph.node
    assert sum(node.op_type == "BatchNormalization" for node in nodes) == left
    with torch.no_grad():
        expected = model(images).numpy()
    np.testing.assert_allclose(onnx_outputs(tmp_path / "network.onnx", images.numpy()), expected, rtol=1e-4, atol=1e-4)


# At a ratio of 0.6 in multiples of 8: how many channels each layer has left.
NARROWER = {
    "recurrent": {"stem": 8, "layer": 8, "head": 10},
    "two_heads": {"body": 16, "low": 5, "high": 5},
    "ensemble": {"one.0": 8, "one.3": 8, "one.6": 10, "two.0": 8, "two.3": 8, "two.6": 10},
    "gate": {"body": 16, "classifier": 10, "gate": 1},
    "spare": {"body": 16, "classifier": 10, "projection": 16},
    "cosine": {"body": 16, "embed": 16},
    "pooled_head": {"0": 16, "2": 10},
    "group_norm": {"0": 8, "3": 32, "8": 10},
    "three_groups": {"0": 8, "3": 24, "8": 10},
    "split": {"first": 16, "second": 32, "branch": 8, "head": 10},
    "rows": {"1": 16, "4": 16, "8": 10},
    "volume": {"1": 8, "3": 8, "6": 10},
    "transposed": {"0": 8, "3": 8, "8": 10},
    "weight_norm": {"0": 8, "3": 8, "5": 8, "8": 10},
    "root_mean_square": {"body": 16, "branch": 16, "head": 10},
    "instance_norm": {"0": 8, "3": 8, "8": 10},
    "gated": {"stem": 16, "halves": 24, "head": 10},
    "experts": {"stem": 8, "gate": 2, "one": 16, "two": 16, "pixels": 1, "head": 10},
}


@pytest.mark.parametrize("name", NARROWER)
def test_channels_are_removed_of_all_layers_but_those_of_the_classes(name: str) -> None:
    with noted() as notes:
        model = compressor("channel_pruning")(network(name), 0.6, EXAMPLE, trained_once, channel_multiple=8)
    assert model.eval()(torch.randn(2, *SHAPE)).shape == (2, CLASSES)
    left = {layer: costs["channels"] for layer, costs in accounting.account(model, EXAMPLE).items()}
    assert left == NARROWER[name]
    assert bool(notes) == (name == "split")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("attention", "those of 'stem' have to stay, because 'attention' is a MultiheadAttention"),
        ("layer_norm", "'3' is a LayerNorm over more than channels"),
        ("tied", "'step' shares its parameters with another layer"),
        ("template", "the network has no convolution or linear layer"),
        ("autoencoder", "torch-pruning loses track of which layers share them"),
    ],
)
def test_what_cannot_be_narrower_is_refused(name: str, reason: str) -> None:
    with pytest.raises(StageFailed, match=f"channel_pruning removes no channels: .*{reason}") as failed:
        compressor("channel_pruning")(network(name), 0.5, EXAMPLE, untrained)
    assert failed.value.failure.kind == "unsupported"


def test_a_channel_that_is_written_by_one_layer_and_read_as_another_is_found_out() -> None:
    def narrow(model: nn.Module, written: int, read: int) -> nn.Module:
        first, last = model[0], model[2]  # type: ignore[index]
        for layer, dim, gone in ((first, 0, written), (last, 1, read)):
            rest = [place for place in range(4) if place != gone]
            layer.weight = nn.Parameter(layer.weight.detach().index_select(dim, torch.tensor(rest)))
        first.bias = nn.Parameter(first.bias.detach()[[place for place in range(4) if place != written]])
        return model

    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 1), nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), nn.Linear(4, 10)]
    for written, read in ((1, 1), (1, 2)):
        wide, tagged, narrower = (copy.deepcopy(nn.Sequential(*layers)) for _ in range(3))
        tag(tagged)
        silent = silenced(wide, survivors(narrow(tagged, written, read)))
        assert (differs(narrow(narrower, written, read), silent, EXAMPLE) is None) == (written == read)


@pytest.mark.parametrize("name", ["rows", "volume", "transposed", "weight_norm", "attention", "tied", "recurrent"])
def test_half_of_the_weights_of_all_layers_are_zero(name: str, tmp_path: Path) -> None:
    model = compressor("weight_pruning")(network(name), 0.5, EXAMPLE, trained_once)
    layers = accounting.account(model, EXAMPLE)
    weights, nonzeros = (costs.total(layers, quantity) for quantity in ("weights", "nonzeros"))
    assert weights == sum(own.numel() for own in model.parameters() if own.ndim > 1)
    assert weights - nonzeros == round(0.5 * weights)
    export(model, EXAMPLE, tmp_path / "network.onnx")
    arrays = [onnx.numpy_helper.to_array(each) for each in onnx.load(tmp_path / "network.onnx").graph.initializer]
    assert sum(int((array == 0).sum()) for array in arrays if array.ndim > 1) >= weights - nonzeros


def test_weights_that_are_read_only_to_compute_others_stay_and_are_told_of() -> None:
    with noted() as notes:
        model = compressor("weight_pruning")(network("standardized"), 0.5, EXAMPLE, untrained)
    assert [int((each.value == 0).sum()) for each in weighted(model)] == [0, 80]
    assert notes == ["weight_pruning leaves weights as they are: those of 'layer', which nothing multiplies by"]
    with pytest.raises(StageFailed, match="removes nothing: it leaves those of 'matrix', which belongs to no layer"):
        compressor("weight_pruning")(network("template"), 0.5, EXAMPLE, untrained)


@pytest.fixture
def _forked_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import into TVM in a forked process; tests/explorer/line/training/test_checks.py starts one as a user's does."""
    monkeypatch.setattr(checks, "imported", forks.imported)


REFUSED = {
    "tuple_in_training": r"gives a tuple instead of logits, \(N, 10\), while it trains",
    "branch_on_values": r"depends on the values in a tensor in .*own_networks.py, line \d+: .*images.max\(\) > 9",
    "squeezed": r"gives shape \(10,\) for one image instead of \(1, 10\)",
    "batch_statistics": "module '4' normalises by the batch's own statistics",
    "frozen": "has no parameter that trains",
    "half": "parameter 'one.0.weight' of torch.bfloat16",
    "changed_in_place": r"cannot be trained: .*modified by an inplace operation.*; in place work '4' \(ReLU\)",
    "large_pool": r"ONNX has no operator for aten.adaptive_max_pool2d in module '3' \(AdaptiveMaxPool2d\)",
    "divisor": r"becomes another network when torch exports it to ONNX in module '3' \(AvgPool2d\)",
    "lstm": r"TVM does not import ONNX's LSTM in module 'rows' \(LSTM\), own_networks.py, line \d+",
}


@pytest.mark.usefixtures("_forked_import")
@pytest.mark.parametrize("name", REFUSED)
def test_a_network_that_cannot_come_down_the_line_is_refused_before_it_is_trained(name: str) -> None:
    model, state = getattr(own_networks, name)(), torch.get_rng_state()
    with pytest.raises(StageFailed, match=REFUSED[name]) as failed:
        checks.check("train", name, model, Loss("", Task(LABELS, CLASSES)), SHAPE, trains=True)
    assert (failed.value.failure.stage, failed.value.failure.kind) == ("train", "unsupported")
    assert "\n" not in failed.value.failure.message
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
@pytest.mark.usefixtures("_forked_import")
@pytest.mark.parametrize("name", ["recurrent", "volume", "template", "transposed_groups"])
def test_one_that_can_is_not(name: str) -> None:
    model = getattr(own_networks, name)()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    checks.check("train", name, model, Loss("", Task(LABELS, CLASSES)), SHAPE, trains=True)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "compression"),
    [
        ("recurrent", "none"), ("own_norms", "none"), ("with_and_without", "none"), ("siamese", "channel_pruning"),
        ("group_norm", "channel_pruning"), ("split", "channel_pruning"), ("weight_norm", "weight_pruning"),
    ],
)  # fmt: skip
def test_the_compiled_network_computes_what_torch_does(
    name: str, compression: str, worker: Worker, tmp_path: Path
) -> None:
    options = {"channel_multiple": 8} if compression == "channel_pruning" else {}
    ratio = None if compression == "none" else 0.5
    model = compressor(compression)(network(name), ratio, EXAMPLE, untrained, **options)
    exported(settle(model, SHAPE), SHAPE, tmp_path)
    assert error_of(tmp_path, compiled_outputs(worker, tmp_path, "dense")) < 1e-3
