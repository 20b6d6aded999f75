"""Studies of thousands of trials, written into the tables that a search keeps: made-up values with a trade-off."""

from __future__ import annotations

import datetime
import math
import random
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.core.measurement.sessions import Readings, Session
from explorer.search.optuna_study.study import Study
from explorer.space import space
from explorer.space.space import Space
from explorer.workspace.database.records import Records
from explorer.workspace.database.schema import TrialRow
from explorer.workspace.workspace import Workspace

SPACE = """
name = "{name}"
[axes]
dataset = "digits"
model = ["mobilenetv1", "mobilenetv2", "resnet18"]
width = {{ low = 0.125, high = 0.5, step = 0.0625 }}
compression = ["none", "weight_pruning", "channel_pruning", "float16", "int8"]
ratio = {{ low = 0.5, high = 0.95, step = 0.02 }}
algorithm = ["direct", "gemm", "spatial_pack", "winograd"]
format = ["dense", "csr"]
threads = [1, 2, 4]
device = [{devices}]
[objectives]
accuracy = "maximize"
latency_ms = "minimize"
size_bytes = "minimize"
[search]
sampler = "random"
trials = {trials}
"""
SPEED = {"direct": 1.0, "gemm": 0.8, "spatial_pack": 0.7, "winograd": 0.9}
KEEPS = {"none": 1.0, "weight_pruning": 0.9, "channel_pruning": 0.45, "float16": 0.95, "int8": 0.4}
_SPACES: dict[str, Space] = {}  # by the text of their files
START = datetime.datetime(2026, 1, 5, 9, 0, tzinfo=datetime.UTC)


def begin(
    root: Path, wanted: int, devices: tuple[str, ...] = ("local",), name: str = "large"
) -> tuple[Space, Workspace]:
    """Begin a study in the workspace in the folder `root`, without a trial; it takes long, to fill it does not."""
    root.mkdir(parents=True, exist_ok=True)
    file = root / f"{name}.toml"
    names = ", ".join(f'"{device}"' for device in devices)
    file.write_text(SPACE.format(name=name, devices=names, trials=wanted))
    searched, workspace = _space(file), Workspace(root)
    records = Records(workspace.url)
    Study(searched, workspace, records)  # its notes
    records.close()
    return searched, workspace


def grow(root: Path, numbers: range, name: str = "large", sessions: int = 0) -> None:
    """Put trials of these numbers on record of a study that has begun, and sessions of the first twenty."""
    records = Records(Workspace(root).url)
    if numbers:
        _add(_space(root / f"{name}.toml"), records, numbers)
    for _ in range(sessions):
        measure(records, name, numbers.stop)
    records.close()


def _space(file: Path) -> Space:
    """Return the space of a file; to load one of so many configurations takes seconds."""
    text = file.read_text()
    if text not in _SPACES:
        _SPACES[text] = space.load(file, to_run=False)
    return _SPACES[text]


def _add(searched: Space, records: Records, numbers: range) -> None:
    """Put trials of these numbers on record, of configurations that no two of them share."""
    step = next(
        step for step in range(int(0.618 * searched.count), searched.count) if math.gcd(step, searched.count) == 1
    )
    rows = []
    for number in numbers:
        values = searched.tree.leaf(number * step % searched.count)
        configuration = Configuration.from_dict(dict(zip(searched.axes, values, strict=True)))
        rows.append(_row(searched.name, number, configuration))
    with records.engine.begin() as connection:
        connection.execute(sa.insert(TrialRow), rows)


def _row(study: str, number: int, configuration: Configuration) -> dict[str, Any]:
    fails = number % 23 == 17
    failure = Failure("measure", "crash", f"the worker of trial {number} ended", "Segmentation fault\nat layer conv3")
    return {
        "study": study, "number": number, "configuration_id": configuration.id,
        "configuration": configuration.as_dict(), "values": {} if fails else values(number, configuration),
        "failure": vars(failure) if fails else None, "seconds": 4.0,
        "finished": START + datetime.timedelta(seconds=5 * number),
    }  # fmt: skip


def values(number: int, c: Configuration) -> dict[str, Any]:
    """Return what a record holds of a made-up trial."""
    drawn = random.Random(number)
    removed, wide = c.ratio or 0.0, c.width / 0.5
    base = {"mobilenetv1": 0.955, "mobilenetv2": 0.965, "resnet18": 0.985}[c.model]
    accuracy = base - 0.06 * (1 - wide) ** 2 - 0.12 * removed**4 - 0.012 * (c.compression == "int8")
    accuracy -= abs(drawn.gauss(0, 0.006))
    latency = {"mobilenetv1": 0.5, "mobilenetv2": 0.7, "resnet18": 2.4}[c.model] * (0.15 + wide**1.6)
    saved = 1 - removed * (1 - KEEPS[c.compression]) if c.ratio else KEEPS[c.compression]
    latency *= SPEED[c.algorithm] * saved * (2.2 if c.format == "csr" else 1) / c.threads**0.6
    latency *= {"local": 1.0, "rpi4": 6.0}.get(c.device, 2.5) * math.exp(drawn.gauss(0, 0.08))
    size = int(1e6 * wide**2 * {"mobilenetv1": 3.2, "mobilenetv2": 2.3, "resnet18": 11.0}[c.model] * saved)
    return {
        "accuracy": accuracy, "accuracy_low": accuracy - 0.01, "accuracy_high": min(1.0, accuracy + 0.008),
        "test_accuracy": accuracy - 0.004, "test_images": 450, "latency_ms": latency,
        "latency_low_ms": 0.985 * latency, "latency_high_ms": 1.02 * latency, "size_bytes": size,
        "peak_memory_bytes": 3 * size, "macs": int(4e7 * wide**2), "parameters": size // 4,
        "convolutions": 20, "convolutions_as_asked": 18, "measure_key": f"m{number}", "build_key": f"{number:064x}",
    }  # fmt: skip


def measure(records: Records, name: str, count: int) -> None:
    """Add a session of measuring to each of the first twenty trials, at most `count`."""
    found = records.complete(name, list(range(min(count, 20))))
    for number, configuration, record in found:
        latency = record.values["latency_ms"]
        session = Session(latency * (1 + 0.002 * (number % 5)), Readings(spread=0.01))
        where = configuration.device, configuration.threads
        records.measurements.add_session(f"m{number}", *where, session, [latency], {})
