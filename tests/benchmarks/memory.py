"""ImageNet-sized folders of images: the peak memory of every stage that reads them.

Claim: with 50,000 images at 224x224, no stage takes 4 GiB of memory.

Sample: an image_folder of IMAGES names in ten classes, hard links to a few hundred distinct JPEG files that are
drawn once; the operating system caches the files and not the names, so that memory is measured and not the disk. 2 %
of the images are validation images, as many are test images. The stages of one trial run in the order of the line, each
in a worker process of its own on all cores; `peak_mb` is the process's largest resident set (VmHWM), the library it
imports included. Training is one epoch with the default batch size. What 50,000 images add is measured with a network
that costs next to nothing, what networks take with fewer images. A real network over as many,
``--models mobilenetv2:0.25:50000``, takes more than an hour on two cores, and prints its peak so far every minute. A
study passes the same stages one after another to few workers, whose peaks are the largest of their stages'.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from explorer.core.artifact import Artifact, V
from explorer.core.configuration import Configuration
from explorer.core.errors import ExplorerError, Failure
from explorer.core.measurement.sessions import Estimate
from explorer.core.measurement.statistics import Interval
from explorer.core.settings import DataSettings, Settings, TrainSettings
from explorer.inputs.dataset_files import source
from explorer.line.contracts import measure
from explorer.line.stage import A, P, Stage
from explorer.line.trials import trial
from explorer.processes.pool import Worker, temporary
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests.benchmarks.common import Row, environment, print_table, write_json

CLASSES = 10
DISTINCT = 30  # image files per class
HELD_BACK = 0.02  # of the images, in either split
SIDE = 256  # px, of which the middle 224 are cut out
TELL_SECONDS = 60.0
STRIDED = "tests.benchmarks.memory:strided"
NATIVE_TARGET = "dlas_ops.processor.targets:native_target"
PACKAGES = ("torch", "torchvision", "apache-tvm", "numpy", "pillow")


class FreshWorkers:
    """Engine of the line that executes every stage in a process of its own, and notes what each of them took."""

    def __init__(self, workspace: Workspace, files: Artifact, facts: Row) -> None:
        self._workspace, self._files, self._facts = workspace, files, facts
        self._store = Store(workspace.artifacts)
        workspace.logs.mkdir(parents=True, exist_ok=True)
        with temporary("tvm", "target", workspace.logs) as worker:
            self.host: Mapping[str, Any] = worker.request({"call": NATIVE_TARGET, "arguments": {}})
        self.rows: list[Row] = []

    def run(self, stage: Stage[P, A, V], equivalent: Callable[[], A] | None = None) -> Artifact[V]:
        """Execute `stage` unless the store has its artifact."""
        if found := self._store.find(stage.name, stage.key):
            return found
        whole: Stage = replace(stage, parents=equivalent()) if equivalent else stage
        worker = Worker(stage.worker, stage.name, self._workspace.logs / "memory.log", os.cpu_count() or 1)
        start = time.perf_counter()
        try:
            with self._store.locked(stage.key), self._store.draft() as draft:
                request = {
                    **whole.as_json(),
                    "out": str(draft),
                    "scratch": str(self._store.scratch(stage.key)),
                }
                values = worker.request(request, hear=_peaks_so_far(stage.name, worker))
                seconds = time.perf_counter() - start
                peak = worker.request({"call": "tests.benchmarks.memory:peak_mb", "arguments": {}})
                self.rows.append({**self._facts, "stage": stage.name, "seconds": round(seconds, 1), "peak_mb": peak})
                print_table(self.rows[-1:])
                return self._store.publish(stage.name, stage.key, draft, values, seconds)
        finally:
            worker.stop()

    def outside(self, c: Configuration) -> Mapping[str, Mapping[str, Artifact]]:
        """Return the folder of images."""
        return {"data": {"source": self._files}, "train": {}, "compress": {}}

    def target(self, device: str) -> Mapping[str, Any]:
        """Return this machine's target."""
        return self.host

    def measure(self, stage: measure.Stage, device: str) -> Estimate:
        """Take no latency: one image is all that it would hold."""
        return Estimate(Interval(0.0, 0.0, 0.0), 0)

    def select(self, stage: Stage, device: str) -> Artifact:
        """Refuse: no algorithm here selects."""
        raise NotImplementedError

    def tune(self, stage: Stage, device: str) -> Artifact:
        """Refuse: nothing here is tuned."""
        raise NotImplementedError

    def confirm(self, stage: Stage, device: str) -> Artifact:
        """Refuse: nothing here is tuned."""
        raise NotImplementedError

    def profile(self, stage: Stage, device: str) -> Artifact:
        """Refuse: nothing here mixes dtypes."""
        raise NotImplementedError

    def identity(self, device: str) -> str | None:
        """Return None: no device is asked."""
        return None

    def lanes(self, device: str) -> int:
        """Refuse: nothing here keeps channels in multiples."""
        raise NotImplementedError


def _peaks_so_far(stage: str, worker: Worker) -> Callable[[Mapping[str, Any]], None]:
    """Return what hears how far a worker is and prints it now and then, with its peak."""
    told = time.monotonic()

    def hear(word: Mapping[str, Any]) -> None:
        nonlocal told
        if "progress" in word and worker._process and time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            print(f"{stage}: {word['progress']['text']}, peak so far {peak_mb(worker._process.pid)} MiB", flush=True)

    return hear


def strided(width: float, classes: int, shape: tuple[int, int, int]) -> Any:
    """Return a network that takes less time than its images take to decode."""
    from torch import nn  # not in the process that measures, nor where TVM runs

    channels = round(16 * width)
    return nn.Sequential(
        nn.Conv2d(shape[0], channels, 8, stride=8), nn.BatchNorm2d(channels), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes),
    )  # fmt: skip


def peak_mb(process: int | str = "self") -> int:
    """Return the largest resident set of a process, of this one unless another's number is given, in MiB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return round(int(line.split()[1]) / 1024)
    raise OSError("the system does not say how much memory a process took")


def write_images(root: Path, count: int) -> None:
    """Write `count` names of images in ``root/{train,val,test}/<class>/``, evenly by class."""
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        drawn = root / "drawn" / str(label)
        drawn.mkdir(parents=True)
        files = [drawn / f"{number}.jpg" for number in range(DISTINCT)]
        for file in files:
            coarse = random.integers(0, 256, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(file, quality=90)
        each = count // CLASSES
        held = max(2, round(each * HELD_BACK))
        for split, share in (("train", each - 2 * held), ("val", held), ("test", held)):
            folder = root / split / str(label)
            folder.mkdir(parents=True)
            for number in range(share):
                os.link(files[number % DISTINCT], folder / f"{number:06}.jpg")
    shutil.rmtree(root / "drawn")


def measured(model: str, width: float, count: int, size: int, folder: Path) -> list[Row]:
    """Return a row per stage, from the data set to the accuracy of the compiled network.

    Raises
    ------
    ExplorerError
        If a stage failed.
    """
    images = folder / f"images-{count}"
    if not images.exists():
        write_images(images, count)
    workspace = Workspace(folder / f"workspace-{model}-{width}-{count}")
    data = DataSettings(image_folder=str(images), image_size=size)
    facts = {"dataset": "image_folder", "model": model, "width": width, "images": count, "size": size}
    engine = FreshWorkers(workspace, source("image_folder", data, workspace), facts)
    settings = Settings(data=data, train=TrainSettings(epochs=1))
    outcome = trial.run(Configuration("image_folder", model, width), settings, engine)
    if isinstance(outcome, Failure):
        raise ExplorerError(f"{model}: stage {outcome.stage} failed: {outcome.message}")
    return engine.rows


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models",
        nargs="+",
        default=[f"{STRIDED}:1:50000", "mobilenetv2:0.25:1000", "resnet50:1:200"],
        metavar="NAME:WIDTH:IMAGES",
    )
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write environment and rows to this file")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # the workers import this file
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for spec in arguments.models:
            name, width, count = spec.rsplit(":", 2)
            try:
                rows += measured(name, float(width), int(count), arguments.size, Path(folder))
            except ExplorerError as error:
                sys.exit(str(error))
    print_table(rows)
    if arguments.json:
        write_json(arguments.json, environment(PACKAGES), rows)


if __name__ == "__main__":
    main()
