"""Library compiled for this machine and images → what it answers: its accuracy, and how far it agrees with torch.

The library is the one that is measured, so the network takes as many images at once as there, a share of them on each
core.
"""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tvm
from numpy.typing import NDArray
from tvm import relax

from dlas_ops.processor.usable_cores import core_count
from explorer.core.errors import Failure, StageFailed
from explorer.core.measurement.statistics import share_interval
from explorer.line.checking.batches import in_batches
from explorer.line.checking.drawing import draw
from explorer.line.checking.first_wrong_layer import Checked, Placement
from explorer.line.checking.reference import ANSWERS, SPLITS, Reference, predictions_file, sampled
from explorer.line.contracts.evaluate import Accuracies, Parameters, Parents, Values
from explorer.line.prepared import Inputs, Prepared
from explorer.line.stages.build import LIBRARY
from explorer.line.task import Task

VERSION = 2
WORKER = "tvm"

Array = NDArray[Any]

# A float32 network computes what torch does up to rounding.
LEAST_AGREEMENT = 0.999

CHUNK = 64  # images that a core reads at once


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Answer validation and test images with the library; write which ones and their classes into ``answers.npz``.

    Of another task than classes, those are some values of each image's output; for a metric of the user's own, all
    outputs are kept beside them.

    Raises
    ------
    StageFailed
        Of kind ``wrong_output``, with the layer at which they part, if outputs lie further from the reference than the
        tolerance, or if a float32 network disagrees with torch on more images than rounding explains.
    """
    assert parents.lower, "the engine adds both parents at execution"
    assert parents.build
    settings, tolerance = parameters.settings, parameters.tolerance
    machines = _machines(parents.build.path / LIBRARY)
    batch = Placement.load(parents.lower.path).batch
    checked = Checked(parents.network, parents.lower, tolerance, partial(_run_part, batch=batch))
    reference = Reference.load(parents.network.path)
    checked.compare("evaluate", _outputs(machines[0], reference.images, batch))

    prepared = Prepared.load(parents.data)
    task, splits = prepared.task, {split: getattr(prepared, split) for split in SPLITS}
    drawn = {split: draw(task.strata(splits[split].labels), settings.images, settings.seed) for split in SPLITS}
    answers = {}
    for split in SPLITS:
        keep = Kept.new(out / predictions_file(split), len(drawn[split]), reference) if settings.metric else None
        answers[split] = _answers(machines, splits[split], drawn[split], batch, task, keep)
    indices = {f"{split}_images": drawn[split] for split in SPLITS}
    np.savez(out / ANSWERS, allow_pickle=False, **answers, **indices)
    # Two logits that each move by the tolerance change places if less than twice that lies between them.
    allowed = tolerance * reference.range
    with np.load(parents.compress.path / ANSWERS) as torchs:
        places = {split: _places(torchs, split, drawn[split]) for split in SPLITS}
        found = {split: _beside(answers[split], torchs, split, places[split], task, allowed) for split in SPLITS}
    if parameters.numerics["dtype"] == "float32":
        wrong = {split: drawn[split][found[split].beyond_rounding] for split in SPLITS}
        _refuse(wrong, splits, sum(map(len, drawn.values())), checked)
    accuracies: Accuracies = _accuracies(answers, splits, drawn) if task.classifies else {}
    return {
        **accuracies,
        "validation_images": len(drawn["validation"]),
        "test_images": len(drawn["test"]),
        "agreement": float(np.concatenate([found[split].same for split in SPLITS]).mean()),
    }


def _accuracies(answers: Mapping[str, Array], splits: Mapping[str, Inputs], drawn: Mapping[str, Array]) -> Accuracies:
    """Return the share of the images that are classified correctly."""
    hits = {split: answers[split] == splits[split].labels[drawn[split]] for split in SPLITS}
    low, high = share_interval(int(hits["validation"].sum()), hits["validation"].size)
    return {
        "accuracy": float(hits["validation"].mean()),
        "accuracy_low": low,
        "accuracy_high": high,
        "test_accuracy": float(hits["test"].mean()),
    }


class Beside(NamedTuple):
    """Which images are answered as torch answers them, and which differ by more than rounding explains; shape (N,)."""

    same: NDArray[np.bool_]
    beyond_rounding: NDArray[np.bool_]


def _beside(ours: Array, torchs: Mapping[str, Array], split: str, places: Array, task: Task, allowed: float) -> Beside:
    """Compare answers for images of a split with torch's at `places`, whose outputs may lie so far off."""
    theirs = torchs[split][places]
    if task.classifies:
        same = ours == theirs
        return Beside(same, ~same & (torchs[f"{split}_margins"][places] > 2 * allowed))
    near = np.abs(ours - theirs).max(1) <= allowed
    return Beside(near, ~near)


def _places(torchs: Mapping[str, Array], split: str, drawn: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where torch's answers have those of the images `drawn`; they may be of a part of all images themselves."""
    if (answered := torchs.get(f"{split}_images")) is None:
        return drawn
    assert np.isin(drawn, answered).all(), "the settings of both stages draw the same images"
    return np.searchsorted(answered, drawn)


def _refuse(
    wrong: Mapping[str, NDArray[np.int64]],
    splits: Mapping[str, Inputs],
    images: int,
    checked: Checked,
) -> None:
    """Raise StageFailed if torch clearly disagrees on too many of `images`, which `wrong` lists by split."""
    count = sum(map(len, wrong.values()))
    if count <= (1 - LEAST_AGREEMENT) * images:
        return
    split = next(split for split in wrong if len(wrong[split]))
    image = splits[split].normalised(splits[split].pixels(wrong[split][:1]))
    of_images = f"{count} of {images} images"
    labels = splits[split].labels.ndim == 1
    differs = f"puts {of_images} into another class than torch" if labels else f"answers {of_images} unlike torch"
    allowed = f"allowed: {1 - LEAST_AGREEMENT:.1%}"
    message = f"the compiled network {differs}, beyond what rounding explains; {allowed}; {checked.located(image)}"
    raise StageFailed(Failure("evaluate", "wrong_output", message))


def _machines(library: Path) -> list[Any]:
    """Return a virtual machine of a library for this machine for each core."""
    with tempfile.TemporaryDirectory() as folder:  # it is linked beside where it lies
        module = tvm.runtime.load_module(shutil.copy(library, folder))
        return [relax.VirtualMachine(module, tvm.cpu()) for _ in range(core_count())]


class Kept(NamedTuple):
    """All outputs of a network for the images of a split, in a file, shape (N, …)."""

    file: Array

    @staticmethod
    def new(path: Path, images: int, reference: Reference) -> Kept:
        """Return such a file for outputs like those of `reference`."""
        shape = (images, *reference.logits.shape[1:])
        return Kept(np.lib.format.open_memmap(path, "w+", np.float32, shape))


def _answers(
    machines: list[Any], images: Inputs, indices: NDArray[np.int64], batch: int, task: Task, keep: Kept | None
) -> Array:
    """Return the class of each image at `indices`, or of another task what is kept of its output, see `sampled`.

    A core holds whole batches of about `CHUNK` images at a time.
    """
    free: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for machine in machines:
        free.put(machine)

    def answer(start: int) -> Array:
        machine, chunk = free.get(), indices[start : start + size]
        try:
            outputs = _outputs(machine, images.normalised(images.pixels(chunk)), batch)
        finally:
            free.put(machine)
        if keep:
            keep.file[start : start + size] = outputs
        return outputs.argmax(1) if task.classifies else sampled(outputs)

    size = -(-CHUNK // batch) * batch
    # A core that another process uses holds up nobody: the network of one thread waits for no other.
    with ThreadPoolExecutor(len(machines), initializer=_alone) as pool:
        return np.concatenate(list(pool.map(answer, range(0, len(indices), size))))


def _alone() -> None:
    """Make the calling thread run networks by itself; TVM's threads belong to the one that calls."""
    cores = os.sched_getaffinity(0)
    tvm.get_global_func("runtime.config_threadpool")(1, 1)
    # Workaround: TVM 0.27: it has bound the thread to the first core, and so every other one; tests/workarounds
    os.sched_setaffinity(0, cores)


def _outputs(machine: Any, images: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    """Return what a network for this machine, of `batch` images at once, makes of `images`, shape (N, …)."""
    return in_batches(lambda several: machine["main"](tvm.runtime.tensor(several)).numpy(), images, batch)


def _run_part(library: Any, images: NDArray[np.float32], batch: int) -> NDArray[np.float32]:
    return _outputs(relax.VirtualMachine(library, tvm.cpu()), images, batch)
