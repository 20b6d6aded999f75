"""Defects of torch, torchvision, torch-pruning and onnx that training, compressing and exporting work around.

Each test fails on the day its workaround is no longer needed.
Those that take seconds run nightly: no change here, only another version of the library makes them fail.
"""

from __future__ import annotations

import inspect

import pytest

from tests.workarounds import run


def test_torchvision_still_renames_the_layers_of_its_densenets_weights() -> None:
    """`explorer.line.training.initial.weight_files` does so, too."""
    from torchvision.models import densenet

    assert r"denselayer\d+\.(?:norm|relu|conv))\." in inspect.getsource(densenet._load_state_dict)


@pytest.mark.nightly
def test_torch_pruning_still_removes_the_first_groups_inputs_from_every_group() -> None:
    """`explorer.compression._narrowing`: torch-pruning 1.6.1 takes the same places from every group."""
    script = """
import sys, torch, torch_pruning
layer = torch.nn.Conv2d(8, 8, 1, groups=2)
weight = layer.weight.detach().clone()
torch_pruning.prune_conv_in_channels(layer, [0, 5])  # the first input of the first group, the second of the second
expected = torch.cat([weight[:4, [1, 2, 3]], weight[4:, [0, 2, 3]]])
sys.exit(torch.equal(layer.weight, expected))
"""
    assert run(script).returncode == 0


def test_onnx_still_computes_other_transposed_convolutions_of_several_groups() -> None:
    """`explorer.line.checking.onnx_reference`: onnx 1.23 is wrong, so it evaluates each group alone."""
    script = """
import sys, numpy, onnx, torch
from onnx.reference import ReferenceEvaluator
from explorer.line.checking.onnx_reference import evaluator_of
layer = torch.nn.ConvTranspose2d(4, 4, 3, stride=2, groups=4)
node = onnx.helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], group=4, strides=[2, 2])
tensors = [onnx.helper.make_tensor_value_info(name, 1, None) for name in ("x", "w", "b", "y")]
graph = onnx.helper.make_graph([node], "one", tensors[:3], tensors[3:])
network = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
images = torch.randn(2, 4, 5, 5)
given = {"x": images, "w": layer.weight, "b": layer.bias}
given = {name: tensor.detach().numpy() for name, tensor in given.items()}
expected = layer(images).detach().numpy()
theirs, ours = (made(network).run(None, given)[0] for made in (ReferenceEvaluator, evaluator_of))
sys.exit(numpy.allclose(theirs, expected, atol=1e-5) or not numpy.allclose(ours, expected, atol=1e-5))
"""
    assert run(script).returncode == 0


@pytest.mark.nightly
def test_torch_pruning_still_does_not_know_some_norms_nor_maps_of_one_channel() -> None:
    """`explorer.compression._dependencies`: torch-pruning 1.6.1, beside which it registers norms and drops edges."""
    script = """
import sys, torch, torch_pruning
from torch import nn

class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.wide, self.map = nn.Conv2d(1, 8, 1), nn.Conv2d(1, 1, 1)
    def forward(self, images):
        return self.wide(images) * self.map(images)

def narrowed(model, layer, example):
    graph = torch_pruning.DependencyGraph().build_dependency(model, example, verbose=False)
    group = graph.get_pruning_group(layer, graph.get_pruner_of_module(layer).prune_out_channels, [0])
    group.prune()
    return group

norms = [nn.RMSNorm(8), nn.InstanceNorm1d(8, affine=True, track_running_stats=True)]
root, instance = (nn.Sequential(nn.Linear(4, 8), norm, nn.Linear(8, 2)) for norm in norms)
instance = nn.Sequential(nn.Conv1d(1, 8, 1), norms[1], nn.Conv1d(8, 2, 1))
narrowed(root, root[0], torch.randn(2, 4))
narrowed(instance, instance[0], torch.randn(2, 1, 5))
gate = Gate()
coupled = {dep.target.module for dep, _ in narrowed(gate, gate.wide, torch.randn(2, 1, 4, 4))}
sys.exit(norms[0].normalized_shape == (7,) or len(norms[1].running_mean) == 7 or gate.map not in coupled)
"""
    assert run(script).returncode == 0


@pytest.mark.nightly
def test_torch_still_describes_all_operators_for_each_export() -> None:
    """`explorer.line.training.onnx_export` keeps the first table."""
    script = (
        "from torch.onnx._internal.exporter._registration import ONNXRegistry as Registry\n"
        "assert Registry.from_torchlib(20) is not Registry.from_torchlib(20)\n"
        "from explorer.line.training.onnx_export import _describe_operators_once\n"
        "_describe_operators_once()\n"
        "assert Registry.from_torchlib(20) is Registry.from_torchlib(20)\n"
    )
    assert run(script).returncode == 0


@pytest.mark.nightly
def test_torch_still_folds_a_batch_norm_once_for_each_call_of_its_layer() -> None:
    """`explorer.line.training.folding` folds it once, or not at all."""
    script = """
import sys, torch
from torch.fx.experimental.optimization import fuse
class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.norm = torch.nn.Conv2d(4, 4, 1), torch.nn.BatchNorm2d(4, affine=False)
        self.norm.running_var.fill_(0.25)
    def forward(self, images):
        return self.norm(self.layer(self.norm(self.layer(images))))
model, images = Recurrent().eval(), torch.ones(1, 4, 2, 2)
sys.exit(torch.allclose(fuse(model)(images), model(images)))
"""
    assert run(script).returncode == 0


@pytest.mark.nightly
def test_torch_still_exports_no_attention_of_five_axes() -> None:
    """`explorer.line.training.onnx_export` writes it out as products and a softmax."""
    script = """
import sys, torch
class Windows(torch.nn.Module):
    def forward(self, tokens):
        return torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
try:
    torch.onnx.export(Windows(), (torch.ones(1, 2, 3, 4, 8),), dynamo=True)
except Exception as error:
    sys.exit("only 4D" not in str(error))
sys.exit("it does")
"""
    assert run(script).returncode == 0
