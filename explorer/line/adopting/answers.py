"""ONNX network and a data set's images → its answers: by onnx's operators in NumPy of a few, and compiled of all.

NumPy takes too long for a whole data set. What it computes of the first test images is the reference; the network that
this machine's cores run, compiled in float32, has to agree with it and then answers all images.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tvm
from numpy.typing import NDArray

import dlas_ops
from dlas_ops.processor.targets import native_target
from explorer.core.errors import Failure, StageFailed
from explorer.core.settings import AnswerSettings
from explorer.line.checking import drawing
from explorer.line.checking.onnx_reference import evaluator_of
from explorer.line.checking.reference import ANSWERS, SPLITS, Reference
from explorer.line.execution import current
from explorer.line.prepared import Inputs, Prepared

REFERENCE_IMAGES = 16  # as many as of a quantized network, which NumPy computes, too
CHUNK = 64  # images that are in memory at once

Array = NDArray[np.float32]


def answer(
    stage: str, network: onnx.ModelProto, splits: Prepared, settings: AnswerSettings | None, tolerance: float, out: Path
) -> None:
    """Write ``reference.npz`` and ``answers.npz`` of `network`, as stage ``compress`` does.

    Raises
    ------
    StageFailed
        If the compiled network departs from the reference by more than `tolerance`, a share of its range.
    """
    images = Reference.inputs(splits)[:REFERENCE_IMAGES]
    reference = Reference(images, _by_numpy(stage, network, images))
    run = _Compiled(network)
    furthest = float(reference.deviations(run(images)).max())
    if not furthest <= tolerance:  # NaN is no agreement
        raise StageFailed(
            Failure(
                stage,
                "wrong_output",
                f"the compiled network departs from onnx's own operators by {furthest:.2g} of their range; allowed: "
                f"{tolerance:g}",
            )
        )
    reference.save(out)
    arrays: dict[str, Any] = {}
    for split in SPLITS:
        own: Inputs = getattr(splits, split)
        drawn = drawing.answered(own.labels, settings)
        logits = run.on(own, drawn)
        least, most = np.partition(logits, -2, axis=1)[:, -2:].T
        arrays |= {split: logits.argmax(1), f"{split}_margins": most - least, f"{split}_images": drawn}
    np.savez(out / ANSWERS, allow_pickle=False, **arrays)


def accuracies(folder: Path, splits: Prepared) -> dict[str, float]:
    """Return the accuracy on each split that is answered, by the answers in `folder`."""
    with np.load(folder / ANSWERS) as arrays:
        return {
            split: float((arrays[split] == getattr(splits, split).labels[arrays[f"{split}_images"]]).mean())
            for split in SPLITS
        }


def _by_numpy(stage: str, network: onnx.ModelProto, images: Array) -> Array:
    try:
        evaluator: Any = evaluator_of(network)
        with np.errstate(all="ignore"):  # its sigmoid computes for both signs, and overflows for the one not taken
            return np.concatenate([evaluator.run(["logits"], {"image": image[np.newaxis]})[0] for image in images])
    except Exception as error:  # an operator that onnx has not in NumPy, or that it refuses
        said = " ".join(str(error).split())
        message = f"onnx's own operators do not compute the network: {said}"
        raise StageFailed(Failure(stage, "unsupported", message)) from error


class _Compiled:
    """A network, compiled for this machine: images, (N, C, H, W) → logits, (N, classes)."""

    def __init__(self, network: onnx.ModelProto) -> None:
        library = dlas_ops.compile(network, tvm.target.Target(native_target()), algorithm="spatial_pack").library
        self._main = tvm.relax.VirtualMachine(library, tvm.cpu())["main"]

    def __call__(self, images: Array) -> Array:
        return np.concatenate([self._main(tvm.runtime.tensor(image[np.newaxis])).numpy() for image in images])

    def on(self, images: Inputs, indices: NDArray[np.int64]) -> Array:
        """Return the logits of the images at `indices`, with a chunk of them in memory."""
        found = []
        for first in range(0, len(indices), CHUNK):
            current().advance(first, len(indices), f"{first} of {len(indices)} images")
            found.append(self(images.normalised(images.pixels(indices[first : first + CHUNK]))))
        return np.concatenate(found)
