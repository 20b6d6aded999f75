"""Images and an ONNX file → network.onnx as the line has it, and its answers; nothing is trained."""

from __future__ import annotations

import time
from pathlib import Path

import onnx

from dlas_ops.onnx.folding import fold_batch_norms
from dlas_ops.processor.usable_cores import core_count
from explorer.core.errors import ExplorerError, Failure, StageFailed
from explorer.line.adopting import answers, check, costs, fitting, reading
from explorer.line.contracts.adopt import Parameters, Parents, Values
from explorer.line.prepared import Prepared

VERSION = 1
WORKER = "tvm"


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the network, its batch norms folded as far as they follow convolutions, and what it makes of the images.

    Raises
    ------
    StageFailed
        If the file has no network that takes the images and answers as their task needs it, or TVM does not import
        the network or computes something else.
    """
    splits = Prepared.load(parents.data)
    start = time.perf_counter()
    try:
        network = fold_batch_norms(fitting.fit(reading.read(parents.network.path), splits.shape, splits.task))
        check.import_into_tvm(network)
    except ExplorerError as error:
        raise StageFailed(Failure("adopt", "unsupported", f"model {parameters.model}: {error}")) from error
    answers.answer("adopt", network, splits, parameters.answered, parameters.tolerance, out)
    onnx.save(network, out / "network.onnx")
    values: Values = {
        "parameters": costs.parameters(network),
        "seconds": time.perf_counter() - start,
        "threads": core_count(),
    }
    if splits.task.classifies:
        values["validation_accuracy"] = answers.accuracies(out, splits)["validation"]
    return values
