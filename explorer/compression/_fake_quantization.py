"""Float model → its graph, rounded wherever its int8 form will be, which trains the model's own weights.

Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", CVPR 2018.
The rounding follows `dlas_ops.onnx.quantization`, which makes the int8 network of the weights afterwards:
weights by output channel, activations where a quantized operator reads them. Biases, which get 32 bits, stay as they
are. That network has its batch norms folded into the convolutions before them; here they stay, because a factor for
each output channel does not change which of the -127..127 a weight is rounded to.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Collection

import torch
from torch import Tensor, fx, nn
from torch.export import Dim

from explorer.core.errors import Failure, StageFailed

aten = torch.ops.aten
# Operators of the graph that have weights, and the axis of their output channels.
WEIGHTED = {"conv1d": 0, "conv2d": 0, "conv3d": 0, "linear": 0, "matmul": -1}
SAME_RANGE = (
    "max_pool1d", "max_pool2d", "max_pool3d", "flatten", "view", "reshape", "squeeze", "unsqueeze", "permute",
    "transpose",
)  # fmt: skip
BOUNDS = ("relu", "relu6", "hardtanh", "clamp", "clamp_min", "clamp_max")
QUANTIZED = (
    *WEIGHTED, *SAME_RANGE, *BOUNDS, "add", "mul", "cat", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "mean", "sigmoid", "hardsigmoid", "hardswish",
)  # fmt: skip
# What they make is tokens or the like, which only weights are multiplied with as 8-bit integers.
TOKENS = ("matmul", "bmm", "layer_norm", "softmax", "scaled_dot_product_attention")
IDENTITIES = ("dropout", "feature_dropout", "alpha_dropout", "contiguous")  # unless dropout stays in inference
MEMORY = 0.99  # share of an activation's range that each batch leaves as it was
TRACED = 2  # images: torch.export takes a batch of 1 for a constant
COUNTED = 211  # images: a prime, which no layer has for a size
LARGEST = 127  # of a weight
LEVELS = 255  # of an activation
TOLERANCE = 1e-3  # of the largest output, between a model and its graph


class FakeQuantizer(nn.Module):
    """Rounds an activation to 8 bits; gradients pass as if it did not, except those of values out of range."""

    def __init__(self) -> None:
        super().__init__()
        self.observing = True
        self.register_buffer("range", torch.zeros(2))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))
        self.range: Tensor
        self.batches: Tensor

    def forward(self, activation: Tensor) -> Tensor:
        """Return float32 `activation` rounded, in its shape; in training, widen or narrow the range towards it."""
        if self.observing and self.training:
            seen = torch.stack(activation.detach().float().aminmax())
            seen = torch.stack([seen[0].clamp_max(0), seen[1].clamp_min(0)])
            self.range.lerp_(seen, (1 - MEMORY) if self.batches else 1.0)
            self.batches += 1
        scale = (self.range[1] - self.range[0]) / LEVELS
        scale = torch.where(scale > 0, scale, 1)
        zero = (-self.range[0] / scale).round().clamp(0, LEVELS).int()
        return torch.fake_quantize_per_tensor_affine(activation, scale, zero, 0, LEVELS)


def rounded_weight(weight: Tensor, axis: int) -> Tensor:
    """Return `weight` rounded to 8 bits, with a symmetric scale for each index on `axis`; gradients pass unchanged."""
    with torch.no_grad():
        others = [each for each in range(weight.ndim) if each != axis % weight.ndim]
        scale = weight.abs().amax(others) / LARGEST
        scale = torch.where(scale > 0, scale, 1)
        zeros = torch.zeros_like(scale, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, axis % weight.ndim, -LARGEST, LARGEST)


def normalise_batches(network: fx.GraphModule, live: bool) -> None:
    """Make batch norms after convolutions use and update each batch's statistics, or only apply those they have."""
    for node in network.graph.nodes:
        if _folds(node):
            node.update_arg(5, live)
    network.recompile()


def freeze(network: fx.GraphModule) -> None:
    """Keep the ranges of all activations and the statistics of all batch norms from now on."""
    normalise_batches(network, live=False)
    for module in network.modules():
        if isinstance(module, FakeQuantizer):
            module.observing = False


def observed(network: fx.GraphModule) -> bool:
    """Tell whether activations have ranges: without, all of them are rounded as if they lay between 0 and 255."""
    return any(module.batches > 0 for module in network.modules() if isinstance(module, FakeQuantizer))


def statistics(network: fx.GraphModule) -> list[str]:
    """Return the names of the buffers that training changes: the statistics of the batch norms after convolutions."""
    return [str(source.target) for node in network.graph.nodes if _folds(node) for source in node.args[3:5]]


def inference_graph(model: nn.Module, image: Tensor) -> fx.GraphModule:
    """Return `model` as a graph of functional operators on its own parameters and buffers; nothing is rounded.

    Parameters
    ----------
    image
        Shape (1, C, H, W); the graph takes batches of any size.

    Raises
    ------
    StageFailed
        If the model's operators depend on the values or the number of its images.
    """
    network = _traced(model, torch.cat([image] * TRACED))
    if not _computes_alike(network, model, image):
        network = _traced(model, torch.cat([image] * COUNTED))
        _read_number_of_images(network)
    if not _computes_alike(network, model, image):
        message = "the graph that torch.export makes of the model computes something else, or only so many images"
        raise StageFailed(Failure("compress", "unsupported", message))
    return network


def _traced(model: nn.Module, images: Tensor) -> fx.GraphModule:
    try:
        program = torch.export.export(model, (images,), dynamic_shapes=({0: Dim.AUTO},), strict=False)
    except Exception as error:  # torch.export has no base of its own for what it raises
        message = f"torch.export cannot trace the model: {str(error).splitlines()[0]}"
        raise StageFailed(Failure("compress", "unsupported", message, str(error))) from error
    traced = program.module()
    _simplify(traced.graph)
    return fx.GraphModule(traced, traced.graph)


@torch.no_grad()
def _computes_alike(network: nn.Module, model: nn.Module, image: Tensor) -> bool:
    """Tell whether a graph computes what `model` does, of another number of images than it was traced with."""
    images = torch.cat([image] * (TRACED + 1))
    expected = model(images)
    try:
        outputs = network(images)
    except Exception:  # shapes that do not fit, in all kinds of operators
        return False
    return outputs.shape == expected.shape and bool(
        (outputs - expected).abs().max() <= TOLERANCE * expected.abs().max()
    )


def _read_number_of_images(network: fx.GraphModule) -> None:
    """Put the number of images, or a multiple of it, where the graph has that of `COUNTED` images as a constant.

    ``len(images)``, unlike ``images.shape[0]``, becomes one.
    """
    graph = network.graph
    image = next(node for node in graph.nodes if node.op == "placeholder")
    with graph.inserting_after(image):
        count = graph.call_function(aten.sym_size.int, (image, 0))

    def counted(given: fx.node.Argument) -> fx.node.Argument:
        if not isinstance(given, int) or given <= 0 or given % COUNTED:
            return given
        return count if given == COUNTED else graph.call_function(operator.mul, (count, given // COUNTED))

    for node in list(graph.nodes):
        if node is not count:
            with graph.inserting_before(node):
                node.args = fx.node.map_aggregate(node.args, counted)
    network.recompile()


def quantized(network: fx.GraphModule) -> fx.GraphModule:
    """Return an inference graph with its weights and activations rounded; it is changed in place."""
    nodes, constants = list(network.graph.nodes), _constants(network.graph)
    tokens = _tokens(network.graph)
    reading = {
        node: [user for user in node.users if _reads_integers(user, node, constants, tokens)]
        for node in nodes
        if node not in constants
    }
    activations = [node for node, users in reading.items() if _is_quantized(node, users)]
    for number, node in enumerate(activations):
        network.add_submodule(f"quantizer{number}", FakeQuantizer())
        with network.graph.inserting_after(node):
            rounded = network.graph.call_module(f"quantizer{number}", (node,))
        node.replace_all_uses_with(rounded, lambda user, own=reading[node]: user in own)
    for node in nodes:
        if _is_weighted(node, constants) and node.args[0] not in constants:
            with network.graph.inserting_before(node):
                weight = network.graph.call_function(rounded_weight, (node.args[1], WEIGHTED[_name(node)]))
            node.update_arg(1, weight)
    network.recompile()
    normalise_batches(network, live=True)
    return network


def _is_quantized(node: fx.Node, integers: Collection[fx.Node]) -> bool:
    """Return whether an activation gets a scale of its own: `integers` read it so, and no bound alone does."""
    value = node.meta.get("val")
    if not (isinstance(value, Tensor) and value.is_floating_point()) or not integers:
        return False
    if _name(node) in SAME_RANGE:  # a value of its input, on whose scale it stands
        return False
    readers = [_name(user) for user in node.users]
    return not (len(readers) == 1 and readers[0] in BOUNDS and (_name(node) in QUANTIZED or _folds(node)))


def _reads_integers(node: fx.Node, source: fx.Node, constants: set[fx.Node], tokens: set[fx.Node]) -> bool:
    """Tell whether `node` reads `source` as 8-bit integers."""
    if _name(node) in WEIGHTED:
        return node.args[0] is source and _is_weighted(node, constants)
    if _name(node) not in QUANTIZED or node in tokens:
        return False
    value = source.meta.get("val")
    return _name(node) in (*SAME_RANGE, *BOUNDS) or (isinstance(value, Tensor) and value.ndim == 4)


def _is_weighted(node: fx.Node, constants: set[fx.Node]) -> bool:
    """Tell whether `node` multiplies with weights: those of a convolution, or one matrix and not several."""
    if _name(node) not in WEIGHTED or node.args[1] not in constants:
        return False
    weight = node.args[1].meta.get("val") if isinstance(node.args[1], fx.Node) else None
    return _name(node) != "matmul" or not isinstance(weight, Tensor) or math.prod(weight.shape[:-2]) == 1


def _tokens(graph: fx.Graph) -> set[fx.Node]:
    """Return the tensors that a convolution has not made, and `TOKENS` has, or that are computed of such.

    A linear layer makes them of several vectors an image, where ONNX has a MatMul.
    """
    found: set[fx.Node] = set()
    for node in graph.nodes:
        name, value = _name(node), node.meta.get("val")
        makes = name in TOKENS or (name == "linear" and isinstance(value, Tensor) and value.ndim > 2)
        if makes or (name[:4] != "conv" and not found.isdisjoint(node.all_input_nodes)):
            found.add(node)
    return found


def _folds(node: fx.Node) -> bool:
    """Return whether a node is a batch norm that the int8 network has folded into the convolution before it."""
    conv = node.args[0] if _name(node) == "batch_norm" else None
    if not isinstance(conv, fx.Node) or _name(conv)[:4] != "conv" or _name(conv) not in WEIGHTED:
        return False
    return len(conv.users) == 1 and node.args[3] is not None  # statistics


def _name(node: object) -> str:
    """Return the name of an operator, which ends in an underscore where it works in place."""
    if not isinstance(node, fx.Node) or not isinstance(node.target, torch._ops.OpOverload):
        return ""
    return str(node.target.overloadpacket.__name__)


def _constants(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes that no image decides."""
    varying: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(source in varying for source in node.all_input_nodes):
            varying.add(node)
    return {*graph.nodes} - varying


def _simplify(graph: fx.Graph) -> None:
    """Drop guards and what does nothing in inference, make operators functional, and write SiLU as ONNX does."""
    for node in list(graph.nodes):
        if node.op == "call_module":
            graph.erase_node(node)
            continue
        name = _name(node).removesuffix("_")
        if name in IDENTITIES and node.args[2:] != (True,):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)
        elif name == "silu":
            with graph.inserting_before(node):
                gate = graph.call_function(aten.sigmoid.default, (node.args[0],))
                product = graph.call_function(aten.mul.Tensor, (node.args[0], gate))
            gate.meta, product.meta = dict(node.meta), dict(node.meta)
            _replace(graph, node, product)
        elif name == "view":  # which needs what lies in memory as a contiguous copy does, and those are dropped
            node.target = aten.reshape.default
        elif name != _name(node) and name in QUANTIZED:
            with graph.inserting_before(node):
                functional = graph.call_function(
                    getattr(getattr(aten, name), node.target._overloadname), node.args, node.kwargs
                )
            functional.meta = dict(node.meta)
            _replace(graph, node, functional)


def _replace(graph: fx.Graph, node: fx.Node, functional: fx.Node) -> None:
    """Put `functional` in place of `node` and, if that works in place, of its operand from there on."""
    if _name(node).endswith("_"):
        later = _after(node)
        node.args[0].replace_all_uses_with(functional, lambda user: user in later)  # type: ignore[union-attr]
    node.replace_all_uses_with(functional)
    graph.erase_node(node)


def _after(node: fx.Node) -> set[fx.Node]:
    found, each = set(), node.next
    while each.op != "root":
        found.add(each)
        each = each.next
    return found
