"""CIFAR-10 trained in minutes on a CPU: what each compression costs in accuracy, taken on the compiled networks.

Claim: MobileNetV2, trained on 2 cores in at most 20 minutes, classifies at least 75 % of the test images; of that,
weight pruning at 80 %, channel pruning at 50 %, float16 and int8 lose at most 1, 4, 0.2 and 1 points.

The images are CIFAR-10's as JPEG files. JPEG loses some detail: accuracies are close to those on the original CIFAR-10
and not the same. They are unpacked once, into the workspace, from ../shared/data/cifar10-jpeg.tar.xz beside the
project; without that and without --data nothing is measured.

Sample: one study over the five compressions, direct kernels, dense, on this machine. All start from the same trained
network; `drop_points` is in percentage points against compression none, on the same 10,000 test images, where one
point is twice the standard deviation of either accuracy. `agreement` is the share of validation and test images that
the compiled network puts into the class that torch does, `bytes` the library's code and weights as they are stored.
A run that was interrupted goes on where it stopped, given the same --workspace and the same settings.

Where there is a GPU: --model resnet18 --width 1 --epochs 30 --compressions none.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
import explorer
from explorer.core.errors import ExplorerError
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests.benchmarks.common import Row, environment, print_table, write_json

ARCHIVE = Path(__file__).parents[3] / "shared/data/cifar10-jpeg.tar.xz"
FOLDER = "cifar10-jpeg"  # where the data set of that name looks
PACKAGES = ("torch", "torchvision", "torch-pruning", "apache-tvm", "numpy", "pillow")

# Compression → its ratio, and the most points that it may lose.
COMPRESSIONS: Mapping[str, tuple[float | None, float]] = {
    "none": (None, 0.0),
    "weight_pruning": (0.8, 1.0),
    "channel_pruning": (0.5, 4.0),
    "float16": (None, 0.2),
    "int8": (None, 1.0),
}
LEAST_ACCURACY = 0.75
MOST_SECONDS = 20 * 60

SPACE = """
name = "{name}"
[axes]
dataset = "cifar10_jpeg"
model = "{model}"
width = {width}
compression = {compressions}
{ratios}
algorithm = "direct"
format = "dense"
threads = 1
device = "local"
{constraints}
[objectives]
accuracy = "maximize"
size_bytes = "minimize"
[search]
sampler = "grid"
{settings}
[data]
folder = "{folder}"
[measure]
samples = 10
"""

SETTINGS = """
[train]
epochs = {epochs}
batch_size = {batch_size}
learning_rate = {learning_rate}
weight_decay = 5e-4
[compress]
steps = 3
epochs = {tuning_epochs}
batch_size = 64
learning_rate = 0.05
weight_decay = 5e-4
"""


def data_folder(arguments: argparse.Namespace) -> Path | None:
    """Return what the images' folder lies in, unpacked if need be, or None where there is nothing to unpack."""
    if arguments.data:
        return Path(arguments.data).absolute()
    place: Path = arguments.workspace.absolute() / "data"
    if not (place / FOLDER).exists():
        if not ARCHIVE.exists():
            return None
        partial = place / f"{FOLDER}.partial"  # so that what bears the name is complete
        shutil.rmtree(partial, ignore_errors=True)
        with tarfile.open(ARCHIVE) as archive:
            archive.extractall(partial, filter="data")
        partial.rename(place / FOLDER)
    return place


def space(arguments: argparse.Namespace, folder: Path) -> tuple[str, str]:
    """Return the study's name, which stands for all that decides its results, and its search-space file."""
    names = arguments.compressions
    ratios = {name: ratio for name in names if (ratio := COMPRESSIONS[name][0]) is not None}
    constraints = [
        f'[[constraints]]\nwhen = {{ compression = "{name}" }}\nrequire = {{ ratio = [{ratio}] }}'
        for name, ratio in ratios.items()
    ]
    fields = {
        "model": arguments.model,
        "width": arguments.width,
        "compressions": list(names),
        "ratios": f"ratio = {sorted(set(ratios.values()))}" if ratios else "",
        "constraints": "\n".join(constraints) if len(ratios) > 1 else "",
        "settings": SETTINGS.format(**vars(arguments)),
    }
    name = f"{arguments.model}-{hashlib.sha256(repr(fields).encode()).hexdigest()[:8]}"
    return name, SPACE.format(name=name, folder=folder, **fields)


def rows(arguments: argparse.Namespace, folder: Path) -> list[Row]:
    """Run the study, or what is left of it, and return a row per compression, none first.

    Raises
    ------
    ExplorerError
        If a trial failed.
    """
    path = arguments.workspace / "accuracy.toml"
    name, text = space(arguments, folder)
    path.write_text(text)
    explorer.run(path, arguments.workspace)
    found = {}
    for trial in cast(list[Row], explorer.frame(arguments.workspace, name).to_dict("records")):
        if trial["state"] == "failed":
            raise ExplorerError(f"{trial['compression']} failed in stage {trial['failed_stage']}: {trial['failure']}")
        found[trial["compression"]] = trial
    store = Store(Workspace(arguments.workspace).artifacts)
    trained = {name: _values(store, "train", trial["train_key"]) for name, trial in found.items()}
    return [_row(found[name], trained[name], found.get("none"), arguments) for name in COMPRESSIONS if name in found]


def _values(store: Store, stage: str, key: str) -> Mapping[str, Any]:
    artifact = store.find(stage, key)
    if artifact is None:
        raise ExplorerError(f"the workspace lacks the artifact {key} of stage {stage}")
    values: Mapping[str, Any] = artifact.values
    return values


def _row(trial: Row, trained: Mapping[str, Any], baseline: Row | None, arguments: argparse.Namespace) -> Row:
    ratio = COMPRESSIONS[trial["compression"]][0]
    drop = None if baseline is None else round(100 * (baseline["test_accuracy"] - trial["test_accuracy"]), 2)
    return {
        "dataset": trial["dataset"], "model": trial["model"], "width": trial["width"],
        "compression": trial["compression"], "ratio": ratio,
        "epochs": arguments.epochs, "threads": trained["threads"], "train_seconds": round(trained["seconds"], 1),
        "test_accuracy": round(trial["test_accuracy"], 4), "drop_points": drop,
        "agreement": round(trial["agreement"], 4), "parameters": trial["parameters"], "nonzeros": trial["nonzeros"],
        "bytes": trial["size_bytes"], "macs": trial["macs"],
    }  # fmt: skip


def print_claims(measured: Sequence[Row]) -> None:
    """Print of each figure that has a bound whether it keeps it."""
    for row in measured:
        bound = COMPRESSIONS[row["compression"]][1]
        if row["compression"] != "none":
            facts = {f"loses {row['drop_points']} points, at most {bound}": row["drop_points"] <= bound}
        else:
            accuracy, seconds = row["test_accuracy"], row["train_seconds"]
            facts = {
                f"test accuracy {accuracy:.2%}, at least {LEAST_ACCURACY:.0%}": accuracy >= LEAST_ACCURACY,
                f"trained in {seconds:.0f} s, at most {MOST_SECONDS} s": seconds <= MOST_SECONDS,
            }
        for fact, holds in facts.items():
            print(f"{row['compression']}: {fact}: {'holds' if holds else 'DOES NOT HOLD'}")


def main() -> None:
    """Parse the arguments, run the study, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mobilenetv2")
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--epochs", type=int, default=5, help="of the training")
    parser.add_argument("--tuning-epochs", type=int, default=4, help="of the fine-tuning after weights were removed")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--compressions", nargs="+", choices=COMPRESSIONS, default=list(COMPRESSIONS))
    parser.add_argument("--data", metavar="FOLDER", help=f"holds {FOLDER}/train/ and {FOLDER}/test/")
    parser.add_argument(
        "--workspace", type=Path, metavar="FOLDER", help="keep the study here, and go on with the one that lies here"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write environment and rows to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        arguments.workspace = arguments.workspace or Path(temporary)
        arguments.workspace.mkdir(parents=True, exist_ok=True)
        folder = data_folder(arguments)
        if folder is None:
            print(f"skipped: the images are not at {ARCHIVE}, and --data names no other place")
            return
        try:
            measured = rows(arguments, folder)
        except ExplorerError as error:
            sys.exit(str(error))
    print("The images are CIFAR-10's after JPEG: accuracies on the original ones differ a little.")
    print_table(measured)
    print_claims(measured)
    if arguments.json:
        write_json(arguments.json, environment(PACKAGES), measured)


if __name__ == "__main__":
    main()
