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
from explorer.core.sessions import Readings, Session
from explorer.search.study import Study
from explorer.space import space
from explorer.space.space import Space
from explorer.workspace.records import Records
from explorer.workspace.schema import TrialRow
from explorer.workspace.workspace import Workspace

SPACE = """
name = "large"
[axes]
dataset = "digits"
model = ["mobilenetv1", "mobilenetv2", "resnet18"]
width = {{ low = 0.125, high = 0.5, step = 0.025 }}
compression = ["none", "weight_pruning", "channel_pruning", "float16", "int8"]
ratio = {{ low = 0.5, high = 0.95, step = 0.01 }}
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
START = datetime.datetime(2026, 1, 5, 9, 0, tzinfo=datetime.UTC)


def write(root: Path, count: int, wanted: int | None = None, devices: tuple[str, ...] = ("local",)) -> Workspace:
    """Write a workspace into the folder `root`, with a study ``large`` of `count` ended trials."""
    root.mkdir(parents=True, exist_ok=True)
    file = root / "large.toml"
    names = ", ".join(f'"{name}"' for name in devices)
    file.write_text(SPACE.format(devices=names, trials=wanted or count))
    searched, workspace = space.load(file, to_run=False), Workspace(root)
    records = Records(workspace.url)
    Study(searched, workspace, records)  # its notes
    add(searched, records, range(count))
    for _ in range(3):
        _measure(records, count)
    records.close()
    return workspace


def add(searched: Space, records: Records, numbers: range) -> None:
    """Put trials of these numbers on record, of configurations that no two of them share."""
    drawn = random.Random(0)
    leaves = drawn.sample(range(searched.count), numbers.stop)
    rows = []
    for number in numbers:
        values = searched.tree.leaf(leaves[number])
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


def _measure(records: Records, count: int) -> None:
    """Add a session of measuring to the first twenty trials."""
    found = records.complete("large", list(range(min(count, 20))))
    for number, configuration, record in found:
        latency = record.values["latency_ms"]
        session = Session(latency * (1 + 0.002 * (number % 5)), Readings(spread=0.01))
        records.add_session(f"m{number}", configuration.device, configuration.threads, session, [latency], {})
