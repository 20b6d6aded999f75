"""ImageNet-sized folders of images: the peak memory of every stage that reads them.

Claim: with 50,000 images at 224x224, no stage takes 4 GiB of memory.

Sample: an image_folder of `--images` names in ten classes, hard links to a few hundred distinct JPEG files that are
drawn once; the operating system caches the files and not the names, so that memory is measured and not the disk. 2 %
of the images are validation images, as many are test images. The stages of one trial run in the order of the line, each
in a worker process of its own on as many threads as the engine gives it; `peak_mb` is the process's largest resident
set (VmHWM), the library it imports included. Training is one epoch with the default batch size. A study passes the
same stages one after another to one torch and one TVM worker, whose peaks are the largest of their stages'.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from explorer.errors import StageFailed
from explorer.settings import CompressSettings, DataSettings, TrainSettings
from explorer.sources import source
from explorer.stage import Stage
from explorer.store import Artifact, Store
from explorer.workers import Worker
from explorer.workspace import Workspace
from tests.benchmarks.common import Row, environment, print_table, write_json

CLASSES = 10
DISTINCT = 30  # image files per class
HELD_BACK = 0.02  # of the images, in either split
SIDE = 256  # px, of which the middle 224 are cut out
PACKAGES = ("torch", "torchvision", "apache-tvm", "numpy", "pillow")


class Line:
    """Executes stages in processes of their own, and notes what each of them took.

    Parameters
    ----------
    threads
        Per kind of worker.
    """

    def __init__(self, workspace: Workspace, threads: Mapping[str, int], facts: Row) -> None:
        self._workspace, self._threads, self._facts = workspace, threads, facts
        self._store = Store(workspace.artifacts)
        workspace.logs.mkdir(parents=True, exist_ok=True)
        self.rows: list[Row] = []

    def run(self, stage: Stage, more: Mapping[str, Artifact] | None = None) -> Artifact:
        """Execute `stage`, with parents besides those that enter its key, in a new worker."""
        parents = {**stage.parents, **(more or {})}
        worker = Worker(stage.worker, stage.name, self._workspace.logs / "memory.log", self._threads[stage.worker])
        start = time.perf_counter()
        try:
            with self._store.locked(stage.key), self._store.draft() as draft:
                request = {
                    "stage": stage.name,
                    "parameters": dict(stage.parameters),
                    "parents": {name: {**asdict(parent), "path": str(parent.path)} for name, parent in parents.items()},
                    "out": str(draft),
                }
                values = worker.request(request)
                seconds = time.perf_counter() - start
                peak = worker.request({"call": "tests.benchmarks.memory:peak_mb", "arguments": {}})
                self.rows.append({**self._facts, "stage": stage.name, "seconds": round(seconds, 1), "peak_mb": peak})
                print_table(self.rows[-1:])
                return self._store.publish(stage.name, stage.key, draft, values, seconds)
        finally:
            worker.stop()


def peak_mb() -> int:
    """Return the largest resident set of this process, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
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
    """Return a row per stage, from the data set to the accuracy of the compiled network."""
    images = folder / f"images-{count}"
    if not images.exists():
        write_images(images, count)
    workspace = Workspace(folder / f"workspace-{model}-{width}-{count}")
    cores = os.cpu_count() or 1
    facts = {"dataset": "image_folder", "model": model, "width": width, "images": count, "size": size}
    line = Line(workspace, {"torch": max(1, cores // 2), "tvm": 1}, facts)
    settings = DataSettings(image_folder=str(images), image_size=size)
    files = source("image_folder", settings, workspace)
    data = line.run(Stage("data", {"dataset": "image_folder", **settings.model_dump()}, {"source": files}))
    data = Artifact(data.stage, data.key, data.path, {**data.values, "root": str(files.path)})
    network: dict[str, Any] = {"model": model, "width": width}
    recipe = TrainSettings(epochs=1).model_dump()
    trained = line.run(Stage("train", {**network, **recipe}, {"data": data}))
    untouched = {**network, "compression": "none", "ratio": None, **CompressSettings().model_dump()}
    compressed = line.run(Stage("compress", untouched, {"data": data, "train": trained}))
    target = native_target(workspace)
    placement = {"algorithm": "direct", "format": "dense", "dtype": "float32", "target": target}
    lowered = line.run(Stage("lower", placement, {"network": compressed}))
    tuned = line.run(Stage("tune", {"tuning_trials": 0, "target": target}, {"lower": lowered}))
    built = line.run(Stage("build", {"target": target}, {"lower": lowered, "tune": tuned}))
    numerics = {"numerics": lowered.values["numerics"]}
    above = {"data": data, "compress": compressed, "network": compressed}
    line.run(Stage("evaluate", numerics, above), {"build": built})
    return line.rows


def native_target(workspace: Workspace) -> dict[str, Any]:
    """Return this machine's TVM target."""
    worker = Worker("tvm", "target", workspace.logs / "memory.log", 1)
    try:
        target: dict[str, Any] = worker.request({"call": "dlas_ops.targets:native_target", "arguments": {}})
    finally:
        worker.stop()
    return target


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", default=["mobilenetv2:0.25:50000", "resnet50:1:1000"], metavar="NAME:WIDTH:IMAGES"
    )
    parser.add_argument("--size", type=int, default=224, help="side of the images in pixels")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write environment and rows to this file")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # the workers import this file
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        for spec in arguments.models:
            name, width, count = spec.split(":")
            try:
                rows += measured(name, float(width), int(count), arguments.size, Path(folder))
            except StageFailed as failed:
                sys.exit(f"{spec}: stage {failed.failure.stage} failed: {failed.failure.message}")
    print_table(rows)
    if arguments.json:
        write_json(arguments.json, environment(PACKAGES), rows)


if __name__ == "__main__":
    main()
