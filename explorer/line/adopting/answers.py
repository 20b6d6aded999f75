"""ONNX network and a data set's images → its answers: by onnx's operators in NumPy of a few, and compiled of all.

NumPy takes too long for a whole data set. What it computes of the first test images is the reference; the network that
this machine's cores run, compiled in float32, has to agree with it and then answers all images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from explorer.line.checking.reference import ANSWERS, SPLITS, Reference, sampled
from explorer.line.execution import current
from explorer.line.prepared import Inputs, Prepared
from explorer.line.task import Task

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
        drawn = drawing.answered(splits.task.strata(own.labels), settings)
        kept = _kept(run.each(own, drawn), splits.task)
        arrays |= {f"{split}_images": drawn, **{f"{split}{ending}": array for ending, array in kept.items()}}
    np.savez(out / ANSWERS, allow_pickle=False, **arrays)


def _kept(outputs: Iterable[Array], task: Task) -> dict[str, NDArray[Any]]:
    """Return what is kept of the outputs for single images, (1, …) each, by the ending of its name.

    Masks need not fit into memory: of another task than classes, some values of each output are kept.
    """
    if not task.classifies:
        return {"": np.concatenate([sampled(output) for output in outputs])}
    logits = np.concatenate([*outputs])
    least, most = np.partition(logits, -2, axis=1)[:, -2:].T
    return {"": logits.argmax(1), "_margins": most - least}


def accuracies(folder: Path, splits: Prepared) -> dict[str, float]:
    """Return a classifier's accuracy on each split that is answered, by the answers in `folder`."""
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
    """A network, compiled for this machine: images, (N, C, H, W) → its outputs, (N, …)."""

    def __init__(self, network: onnx.ModelProto) -> None:
        library = dlas_ops.compile(network, tvm.target.Target(native_target()), algorithm="spatial_pack").library
        self._main = tvm.relax.VirtualMachine(library, tvm.cpu())["main"]

    def __call__(self, images: Array) -> Array:
        return np.concatenate([self._one(image) for image in images])

    def each(self, images: Inputs, indices: NDArray[np.int64]) -> Iterator[Array]:
        """Yield the output for each of the images at `indices`, (1, …), with a chunk of the images in memory."""
        for first in range(0, len(indices), CHUNK):
            current().advance(first, len(indices), f"{first} of {len(indices)} images")
            yield from map(self._one, images.normalised(images.pixels(indices[first : first + CHUNK])))

    def _one(self, image: Array) -> Array:
        output: Array = self._main(tvm.runtime.tensor(image[np.newaxis])).numpy()
        return output
