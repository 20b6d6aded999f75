"""Network whose compiled outputs are wrong, and an image → the first layer whose output departs from what ONNX says.

Looked for only after a failure: parts of the network, each up to one tensor, are compiled as the whole was and compared
with onnx's reference operators, which compute in NumPy. It takes about log2(tensors) compilations.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tvm
from numpy.typing import NDArray
from onnx import helper

import dlas_ops
from explorer.core.artifact import Artifact
from explorer.core.errors import Failure, StageFailed
from explorer.line.checking.onnx_reference import evaluator_of
from explorer.line.checking.reference import Reference
from explorer.line.contracts.compress import Network

Array = NDArray[Any]
Run = Callable[[Any, Array], Array]
Upstream = Mapping[str, frozenset[str]]

PLACEMENT = "placement.json"
# The stage that a network is of → whose outputs its reference has.
REFERENCES = {
    "compress": "torch's",
    "prune": "those of the ONNX file's network in NumPy",
    "quantize": "those of the quantized network in NumPy",
}


@dataclass(frozen=True)
class Placement:
    """The arguments that a network was lowered with, see `dlas_ops.lower`, and how many images it takes at once."""

    algorithm: str | dlas_ops.Selection
    format: str
    dtype: str
    target: Mapping[str, Any]
    batch: int = 1

    def lower(self, network: onnx.ModelProto) -> dlas_ops.Lowered:
        """Lower `network`, which is for one image or for `batch` of them."""
        target = tvm.target.Target(dict(self.target))
        several = dlas_ops.with_batch(network, self.batch)
        return dlas_ops.lower(several, target, algorithm=self.algorithm, format=self.format, dtype=self.dtype)

    def build(self, lowered: dlas_ops.Lowered) -> Any:
        """Return the library of `lowered`."""
        return dlas_ops.build(lowered, tvm.target.Target(dict(self.target))).library

    def save(self, folder: Path) -> None:
        """Write ``placement.json``."""
        (folder / PLACEMENT).write_text(json.dumps(asdict(self), indent=1))

    @staticmethod
    def load(folder: Path) -> Placement:
        """Read what `save` wrote."""
        fields = json.loads((folder / PLACEMENT).read_text())
        if isinstance(fields["algorithm"], dict):
            fields["algorithm"] = dlas_ops.Selection.from_json(fields["algorithm"])
        return Placement(**fields)


@dataclass(frozen=True)
class Checked:
    """A network whose compiled outputs are compared with the reference.

    Parameters
    ----------
    network
        With its reference.
    lowered
        The same, lowered.
    tolerance
        How far outputs may lie from the reference, as a share of its range.
    run
        Gives the outputs of a library on images, see `parting`.
    """

    network: Network
    lowered: Artifact
    tolerance: float
    run: Run

    def compare(self, stage: str, logits: Array) -> float:
        """Return how far `logits` lie from the reference at most, as a share of its range.

        Parameters
        ----------
        stage
            That compares.
        logits
            Of the reference's first images, shape (N, …).

        Raises
        ------
        StageFailed
            Of kind ``wrong_output`` if that is more than the tolerance.
        """
        reference = Reference.load(self.network.path)
        deviations = reference.deviations(logits)
        worst = int(deviations.argmax())  # a NaN, if there is one
        if not deviations[worst] <= self.tolerance:
            whose = REFERENCES[self.network.stage]
            difference = f"{deviations[worst]:.2g} of their range; allowed: {self.tolerance:g}"
            where = self.located(reference.images[worst : worst + 1])
            raise StageFailed(Failure(stage, "wrong_output", f"outputs differ from {whose} by {difference}; {where}"))
        return float(deviations[worst])

    def located(self, image: Array) -> str:
        """Return at which layer outputs on `image` depart, see `parting`, or why that is not known."""
        try:
            network = onnx.load(self.network.path / "network.onnx")
            return parting(network, Placement.load(self.lowered.path), image, self.tolerance, self.run)
        except Exception as error:  # no error may take the place of the failure that is explained
            return f"which layer departs could not be found out: {type(error).__name__}: {error}"


def parting(network: onnx.ModelProto, placement: Placement, image: Array, tolerance: float, run: Run) -> str:
    """Return at which layer the compiled `network` departs from the reference, as the end of a sentence.

    Parameters
    ----------
    image
        One on which the outputs of the whole are wrong, float32, shape (1, C, H, W).
    tolerance
        How far a tensor may lie from the reference, as a share of its largest value.
    run
        Gives the outputs of a library for ``placement.target`` on images.
    """
    (source,), (output,) = ([value.name for value in values] for values in (network.graph.input, network.graph.output))
    with np.errstate(all="ignore"):
        expected: Any = evaluator_of(network).run(None, {source: image}, intermediate=True)
    nodes = {name: node for node in network.graph.node for name in node.output}
    found: dict[str, str] = {}

    def departs(tensor: str) -> bool:
        lowered = placement.lower(_up_to(network, tensor, expected[tensor].shape))
        outputs = run(placement.build(lowered), image)
        deviation, largest = np.abs(outputs - expected[tensor]).max(), np.abs(expected[tensor]).max()
        # An operator that follows a layer element by element is no layer of its own, and runs as part of it.
        layer = lowered.layers[-1] if lowered.layers else None
        where = f"in layer '{layer.name}' ({layer.ran}, {layer.dtype})" if layer else "before the first layer"
        found[tensor] = f"{where}, at its {nodes[tensor].op_type}: off by up to {deviation:.2g} of {largest:.2g}"
        return not deviation <= tolerance * largest

    def comparable(tensor: str) -> bool:
        """Tell whether `tensor` can be an output: a float one whose images lie one behind the other."""
        is_float = "float" in str(expected[tensor].dtype)
        if not is_float or placement.batch == 1:
            return is_float
        try:
            dlas_ops.with_batch(_up_to(network, tensor, expected[tensor].shape), placement.batch)
        except ValueError:  # as for queries, keys and values in one tensor, each with its images
            return False
        return True

    if not departs(output):
        return "compiled once more the network computes what it should: the library may be damaged"
    return f"outputs part {found[bisect(_upstream(network, source, comparable), output, departs)]}"


def bisect(upstream: Upstream, bad: str, departs: Callable[[str], bool]) -> str:
    """Return a tensor that departs while nothing departs that it is computed of.

    Parameters
    ----------
    upstream
        Tensor → the tensors that it is computed of, itself among them; in the network's order.
    bad
        One that departs.
    """
    suspects = upstream[bad]
    while others := [tensor for tensor in upstream if tensor in suspects and tensor != bad]:
        middle = min(others, key=lambda tensor: abs(len(suspects) - 2 * len(upstream[tensor] & suspects)))
        if departs(middle):
            bad, suspects = middle, suspects & upstream[middle]
        else:
            suspects -= upstream[middle]
    return bad


def _upstream(network: onnx.ModelProto, source: str, comparable: Callable[[str], bool]) -> Upstream:
    """Return every comparable tensor computed of the input → the others that it is computed of, and itself."""
    known: dict[str, frozenset[str]] = {source: frozenset()}
    for node in network.graph.node:
        reading = [known[name] for name in node.input if name in known]
        if reading:
            for name in filter(None, node.output):
                own = [name] if comparable(name) else []
                known[name] = frozenset(own).union(*reading)
    return {name: tensors for name, tensors in known.items() if name in tensors}


def _up_to(network: onnx.ModelProto, tensor: str, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Return `network` with the float `tensor` as its output: the operators behind it are dead code, never compiled."""
    part = onnx.ModelProto()
    part.CopyFrom(network)
    del part.graph.output[:]
    part.graph.output.append(helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, shape))
    return part
