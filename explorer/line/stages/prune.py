"""Adopted network and a ratio → network.onnx with that share of its weights zero, its cost, and its answers."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx

from explorer.line.adopting import answers, costs
from explorer.line.adopting.pruning import pruned
from explorer.line.checking.reference import ANSWERS, REFERENCE
from explorer.line.contracts.compress import Reached, Told
from explorer.line.contracts.prune import Parameters, Parents, Values
from explorer.line.costs import compared
from explorer.line.prepared import Prepared

VERSION = 1
WORKER = "tvm"


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
    reached: Reached = {}
    if splits.task.classifies:
        accuracies = answers.accuracies(out, splits)
        reached = {"torch_accuracy": accuracies["validation"], "torch_test_accuracy": accuracies["test"]}
    told: Told = {}
    return {
        **reached,
        **told,
        **compared(costs.account(adopted), costs.account(network)),
        "parameters": costs.parameters(network),
        "parameters_before": costs.parameters(adopted),
        "kept_in_multiples_of": None,
    }
