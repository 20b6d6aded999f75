"""Model in evaluation mode → its graph with batch norms folded into the layers before them, where that is the same."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Sequence

from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip


def folded(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """Return `model` as a graph of its own, in which a batch norm is folded into the layer whose outputs it reads.

    That needs a layer and a norm which only work together: every output of the layer goes to this norm alone, every
    input of the norm comes from this layer, and nothing else reads their parameters. Both may be called several times.

    Parameters
    ----------
    example
        Shape (1, C, H, W).

    Raises
    ------
    Exception
        Of any kind, if fx cannot trace the model.
    """
    # Workaround: torch 2.14: torch.fx.experimental.optimization.fuse folds once for each call of a pair, and also into
    # layers that are read without the norm elsewhere; tests/workarounds
    network = fx.symbolic_trace(copy.deepcopy(model))
    ShapeProp(network).propagate(example)
    modules = dict(network.named_modules())
    calls: dict[str, list[fx.Node]] = defaultdict(list)
    for node in network.graph.nodes:
        if node.op == "call_module":
            calls[str(node.target)].append(node)
    read = {str(node.target) for node in network.graph.nodes if node.op == "get_attr"}
    for name, norms in calls.items():
        layer = _layer_before(norms)
        if layer is None or not _only_together(calls[layer], norms):
            continue
        if not all(_can_fold(modules[layer], modules[name], call) for call in calls[layer]):
            continue
        if not any(tensor.startswith((f"{layer}.", f"{name}.")) for tensor in read):
            network.set_submodule(layer, _fused(modules[layer], modules[name]))
            for norm in norms:
                norm.replace_all_uses_with(norm.args[0])  # type: ignore[arg-type]
                network.graph.erase_node(norm)
    network.recompile()
    return network


def _layer_before(norms: Sequence[fx.Node]) -> str | None:
    """Return the name of the module that all calls of a norm read, None if there is no such one."""
    sources = [norm.args[0] if norm.args else None for norm in norms]
    names = {str(node.target) for node in sources if isinstance(node, fx.Node) and node.op == "call_module"}
    apart = any(not isinstance(node, fx.Node) or node.op != "call_module" for node in sources)
    return None if apart or len(names) != 1 else names.pop()


def _only_together(layers: Sequence[fx.Node], norms: Sequence[fx.Node]) -> bool:
    """Tell whether each call of a layer is read by one call of the norm and by nothing else."""
    return all(len(layer.users) == 1 and next(iter(layer.users)) in norms for layer in layers)


def _can_fold(layer: nn.Module, norm: nn.Module, call: fx.Node) -> bool:
    """Tell whether the channels of a layer are those of the norm, and both are without hooks or other surprises."""
    hooks = (module_hooks for each in (layer, norm) for module_hooks in (each._forward_pre_hooks, each._forward_hooks))
    if type(norm) not in NORMS or norm.training or norm.running_mean is None or any(hooks):
        return False
    if type(layer) is nn.Linear:  # of more dimensions, the norm's channels are not the last one
        return len(call.meta["tensor_meta"].shape) == len(("images", "channels"))
    if not isinstance(layer, nn.modules.conv._ConvNd) or type(layer) not in CONVOLUTIONS:
        return False
    return not layer.transposed or layer.groups == 1


def _fused(layer: nn.Module, norm: nn.Module) -> nn.Module:
    assert isinstance(norm, nn.modules.batchnorm._BatchNorm)
    if isinstance(layer, nn.Linear):
        return fuse_linear_bn_eval(layer, norm)
    assert isinstance(layer, nn.modules.conv._ConvNd)
    return fuse_conv_bn_eval(layer, norm, transpose=layer.transposed)
