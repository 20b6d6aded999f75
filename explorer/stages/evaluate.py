"""Library compiled for this machine and labelled images → the accuracy of what runs, and how far it agrees with torch.

The network runs image by image: a second export in batches would be another library than the one that is measured.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax

from explorer.errors import Failure, StageFailed
from explorer.prepared import Inputs, Prepared
from explorer.stages.build import LIBRARY
from explorer.statistics import share_interval
from explorer.store import Artifact

VERSION = 1
WORKER = "tvm"

# A float32 network computes what torch does up to rounding, which decides where two classes are all but equal.
LEAST_AGREEMENT = 0.999

CHUNK = 64  # images read at once

REFERENCE_IMAGES = 64  # test images whose logits another device's are compared with


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Classify the validation and test images with the library, and write what it answers.

    ``answers.npz`` has the class of each, ``reference.npz`` the first test images with their logits.

    Parameters
    ----------
    parameters
        ``numerics`` of the network lowered for this machine; see `explorer.stages.lower.numerics`.
    parents
        ``data`` for images and labels, ``compress`` for torch's answers, ``network``, which only enters the key, and
        ``build`` for the library: any whose numerics these are, so that it does not enter it.

    Returns
    -------
    dict
        ``accuracy`` on the validation split with ``accuracy_low`` and ``accuracy_high``, its 95 % interval,
        ``test_accuracy``, ``validation_images``, ``test_images``, and ``agreement``, the share of the images of both
        splits that torch puts into the same class.

    Raises
    ------
    StageFailed
        Of kind ``wrong_output`` if a float32 network disagrees with torch on more images than rounding explains.
    """
    splits = Prepared.load(parents["data"])
    network = _network(parents["build"].path / LIBRARY)
    logits = {"validation": _logits(network, splits.validation), "test": _logits(network, splits.test)}
    answers = {split: outputs.argmax(1) for split, outputs in logits.items()}
    np.savez(out / "answers.npz", allow_pickle=False, **answers)
    images = splits.test[:REFERENCE_IMAGES]
    np.savez(out / "reference.npz", images=images, logits=logits["test"][:REFERENCE_IMAGES])
    with np.load(parents["compress"].path / "answers.npz") as torchs:
        same = np.concatenate([answers[split] == torchs[split] for split in answers])
    if parameters["numerics"]["dtype"] == "float32" and same.mean() < LEAST_AGREEMENT:
        message = (
            f"the compiled network puts {np.count_nonzero(~same)} of {same.size} images into another class than torch; "
            f"allowed: {1 - LEAST_AGREEMENT:.1%}"
        )
        raise StageFailed(Failure("evaluate", "wrong_output", message))
    hits = answers["validation"] == splits.validation.labels
    low, high = share_interval(int(hits.sum()), hits.size)
    return {
        "accuracy": float(hits.mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "test_accuracy": float((answers["test"] == splits.test.labels).mean()),
        "validation_images": len(splits.validation),
        "test_images": len(splits.test),
        "agreement": float(same.mean()),
    }


def _network(library: Path) -> Any:
    """Return the virtual machine of a library for this machine."""
    with tempfile.TemporaryDirectory() as folder:  # it is linked beside where it lies
        module = tvm.runtime.load_module(shutil.copy(library, folder))
        return relax.VirtualMachine(module, tvm.cpu())


def _logits(network: Any, images: Inputs) -> NDArray[np.float32]:
    """Return the outputs of `network`, shape (N, classes); no more than `CHUNK` images are in memory."""
    chunks = (images[start : start + CHUNK] for start in range(0, len(images), CHUNK))
    outputs = [
        network["main"](tvm.runtime.tensor(chunk[i : i + 1])).numpy() for chunk in chunks for i in range(len(chunk))
    ]
    return np.concatenate(outputs)
