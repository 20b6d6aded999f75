"""Adopted network and a ratio → network.onnx with that share of its weights zero, its cost, and its answers."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import onnx

from explorer.line.adopting import answers, costs
from explorer.line.adopting.pruning import pruned
from explorer.line.checking.reference import ANSWERS, REFERENCE
from explorer.line.contracts.prune import Parameters, Parents, Values
from explorer.line.prepared import Prepared

VERSION = 1
WORKER = "tvm"

FLOAT32_BYTES = 4


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the network and its answers, as stage ``compress`` does of a model in PyTorch.

    Raises
    ------
    StageFailed
        If the compiled network departs from onnx's own operators.
    """
    splits = Prepared.load(parents.data)
    adopted = onnx.load(parents.train.path / "network.onnx")
    network = adopted
    if parameters.ratio is not None:
        assert parameters.scores is not None, "what removes weights ranks them"
        network = pruned(adopted, parameters.ratio, parameters.scores)
    onnx.save(network, out / "network.onnx")
    if network is adopted:
        for name in (ANSWERS, REFERENCE):
            shutil.copy(parents.train.path / name, out)
    else:
        answers.answer("prune", network, splits, parameters.answered, parameters.tolerance, out)
    accuracies = answers.accuracies(out, splits)
    before, after = costs.account(adopted), costs.account(network)
    whole, left = partial(costs.total, before), partial(costs.total, after)
    return {
        "torch_accuracy": accuracies["validation"],
        "torch_test_accuracy": accuracies["test"],
        "parameters": costs.parameters(network),
        "parameters_before": costs.parameters(adopted),
        "weights": left("weights"),
        "nonzeros": left("nonzeros"),
        "channels": left("channels"),
        "macs": left("macs"),
        "weights_before": whole("weights"),
        "nonzeros_before": whole("nonzeros"),
        "channels_before": whole("channels"),
        "macs_before": whole("macs"),
        "weight_bytes_before": FLOAT32_BYTES * whole("weights"),
        "kept_in_multiples_of": None,
        "removed_weights": 1 - left("nonzeros") / max(1, whole("nonzeros")),
        "removed_channels": 0.0,
        "layers": {name: {"before": before[name], "after": after[name]} for name in before},
    }
