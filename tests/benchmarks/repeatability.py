"""Two runs of one grid, apart in time → how far their latencies and fronts agree.

Claim: on a virtual machine of 2 cores (AMD EPYC of family 25, model 17: Zen 4, under KVM) two runs of a grid of 40
stacks ten minutes apart differ by 0.6 % on one thread and 0.4 % on two (medians; at most 5.1 and 2.7 %); all intervals
overlap, 90 and 100 % of the second latencies lie in the first interval, Kendall's tau is 0.95 and 1.00, and 1 over the
pairs that either run tells apart; every point of either front is on the other one or tied with it. The intervals are 6
% wide. Beside a busy process at most 4.4 and 7.0 % lie between the latencies.

Intervals are by the formula of `explorer.core.measurement.sessions`; its `DRIFT` was chosen on four earlier runs.

Every run has a database of its own, and finds the libraries that a first run has trained and compiled: nothing but
measuring is done again. ``--kind grid`` is of four networks at full width on images of 32 x 32, ``quickstart`` of the
bundled space; ``busy`` measures the first grid once more beside a process that computes on one core for a fifth of the
time, started and stopped at random. A row per number of threads:

overlap: share of the stacks whose two intervals overlap; coverage: whose second latency lies in the first interval.
tau: Kendall's, over all stacks; tau_apart: over the pairs whose intervals do not overlap in either run.
width: median width of the intervals, as a share of the latency, of stacks above 0.3 ms.
front_agreement: share of the stacks on either front that are on both, or tied with it.
deviation: median of the ratio of the slower latency to the faster, less 1; worst: the largest, of unmarked latencies.
together: correlation of two sessions that follow one another, of their deviations from their stacks' means in the first
run: what a comparison of two stacks session by session would have less variance by.
seconds_per_stack: of measuring; times_one_session: the same over what a first session takes.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from PIL import Image

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
import explorer
from explorer.core.measurement.quantities import LATENCY
from explorer.core.measurement.sessions import disturbance
from explorer.core.measurement.statistics import Interval
from explorer.fronts.certainty import front_with_ties
from explorer.workspace.database.records import Records
from explorer.workspace.database.schema import SessionRow
from explorer.workspace.database.sessions import COLUMNS, session_of
from tests.benchmarks.common import Row, environment, print_table, write_json

GRID = """
name = "repeatability"
[axes]
dataset = "image_folder"
model = ["mobilenetv1", "mobilenetv2", "resnet18", "vgg16"]
width = 1.0
compression = ["none", "int8"]
algorithm = ["direct", "spatial_pack", "winograd"]
threads = [1, 2]
[data]
image_folder = "{images}"
image_size = 32
[train]
epochs = 1
[measure]
"""
QUICKSTART = """
name = "repeatability"
[axes]
dataset = "digits"
model = ["mobilenetv2", "resnet18"]
width = 0.25
compression = ["none", "weight_pruning", "channel_pruning"]
ratio = [0.5, 0.75]
algorithm = ["direct", "gemm", "spatial_pack"]
threads = [1, 2]
[objectives]
accuracy = "maximize"
latency_ms = "minimize"
size_bytes = "minimize"
[measure]
"""
ONCE = "sessions = 1\nextra_time = 0.0\n"
CLASSES, IMAGES, SIDE = 10, 30, 32
BUSY_SECONDS, IDLE_SECONDS = 2.0, 8.0  # how long a burst and a pause last in the mean: busy for a fifth of the time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=("grid", "quickstart", "busy"), default=("grid", "quickstart"))
    parser.add_argument("--wait", type=float, default=10, help="minutes between the two runs of a kind")
    parser.add_argument("--extra", type=float, default=0.7, help="time for sessions beyond two, in that of the others")
    parser.add_argument("--workspace", type=Path, help="folder that goes on with what it has; else a temporary one")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.workspace or Path(name)
        folder.mkdir(exist_ok=True)
        rows = measured(folder, given.kinds, given.wait, f"extra_time = {given.extra}\n")
    print_table(rows)
    if given.json:
        write_json(given.json, environment(), rows)


def measured(folder: Path, kinds: list[str], wait: float, protocol: str) -> list[Row]:
    """Return the rows of all kinds; their first runs come first, and then the others, in the same order."""
    texts = {"grid": GRID.format(images=folder / "images"), "quickstart": QUICKSTART}
    draw(folder / "images")
    for kind, text in texts.items():
        grid(text + ONCE, folder / f"{kind}-prepared")
    spaces = list(dict.fromkeys("grid" if kind == "busy" else kind for kind in kinds))
    first = {kind: again(texts[kind] + protocol, folder, kind, 1) for kind in spaces}
    begun = time.monotonic()
    rows: list[Row] = []
    if "busy" in kinds:
        with busy():
            second = again(texts["grid"] + protocol, folder, "grid", 3)
        rows += compared("busy", first["grid"], second)
    for kind in spaces:
        if kind in kinds:
            time.sleep(max(0.0, begun + 60 * wait - time.monotonic()))
            rows += compared(kind, first[kind], again(texts[kind] + protocol, folder, kind, 2))
    return rows


def draw(folder: Path) -> None:
    """Write images of gratings, a direction for each class."""
    generator = np.random.default_rng(0)
    places = np.arange(SIDE) / SIDE
    for label, number in itertools.product(range(CLASSES), range(IMAGES)):
        angle, phase = np.pi * label / CLASSES, generator.uniform(0, 2 * np.pi)
        waves = np.sin(20 * (np.cos(angle) * places[:, None] + np.sin(angle) * places[None]) + phase)
        pixels = 128 + 60 * waves[..., None] + generator.normal(0, 25, (SIDE, SIDE, 3))
        own = folder / "train" / f"class{label}"
        own.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(own / f"{number}.png")


def grid(text: str, workspace: Path) -> None:
    """Run the grid over a space file of this text in `workspace`."""
    file = workspace.with_suffix(".toml")
    file.write_text(text)
    explorer.grid(file, workspace)


def again(text: str, folder: Path, kind: str, number: int) -> pd.DataFrame:
    """Measure a prepared grid in a workspace of its own; return its trials."""
    workspace = folder / f"{kind}-{number}"
    if not workspace.exists():
        shutil.copytree(folder / f"{kind}-prepared" / "artifacts", workspace / "artifacts", copy_function=os.link)
    grid(text, workspace)
    with explorer.open(workspace) as study:
        executions = study.records.executions.frame()
    seconds = executions[executions["stage"] == "measure"]
    frame = explorer.frame(workspace).set_index("configuration_id", drop=False)
    frame.attrs["seconds"] = seconds["seconds"].sum() / len(frame)
    frame.attrs["one_session"] = seconds.groupby("key")["seconds"].first().mean()
    with explorer.open(workspace) as study:
        frame.attrs["together"] = {
            threads: together(study.records, threads) for threads in map(int, frame["threads"].unique())
        }
    return frame


def compared(kind: str, first: pd.DataFrame, second: pd.DataFrame) -> list[Row]:
    """Return a row for each number of threads."""
    rows = []
    for threads in sorted(first["threads"].unique()):
        one = first[(first["threads"] == threads) & (first["state"] == "complete")]
        other = second.loc[one.index]
        intervals = list(zip(intervals_of(one), intervals_of(other), strict=True))
        ratios = [max(a.value, b.value) / min(a.value, b.value) - 1 for a, b in intervals]
        unmarked = [ratio for ratio, mark in zip(ratios, marked(one) | marked(other), strict=True) if not mark]
        wide = [(each.high - each.low) / each.value for pair in intervals for each in pair if each.value > 0.3]
        rows.append({
            "kind": kind, "space": f"{kind} of {len(first)}", "threads": int(threads), "stacks": len(one),
            "overlap": round(mean(not (a.is_below(b) or b.is_below(a)) for a, b in intervals), 3),
            "coverage": round(mean(a.low <= b.value <= a.high for a, b in intervals), 3),
            "tau": round(tau(intervals, apart=False), 3), "tau_apart": round(tau(intervals, apart=True), 3),
            "width": round(median(wide), 3) if wide else None,
            "front_agreement": round(agreement(one, other), 3), "deviation": round(median(ratios), 3),
            "worst": round(max(unmarked), 3) if unmarked else None, "marked": len(ratios) - len(unmarked),
            "together": round(first.attrs["together"][threads], 2),
            "sessions": round(mean([*one["latency_sessions"], *other["latency_sessions"]]), 1),
            "seconds_per_stack": round(second.attrs["seconds"], 2),
            "times_one_session": round(second.attrs["seconds"] / second.attrs["one_session"], 2),
        })  # fmt: skip
    return rows


def together(records: Records, threads: int) -> float:
    """Return how far sessions that follow one another deviate together from the means of their stacks' sessions."""
    usual = records.sessions.known("local", threads).usual
    here = SessionRow.device == "local", SessionRow.threads == threads
    query = sa.select(SessionRow.key, *COLUMNS).where(*here).order_by(SessionRow.measurement)
    with records.engine.connect() as connection:
        known = [(key, session_of(row)) for key, *row in connection.execute(query)]
    logs = pd.DataFrame(
        [(key, np.log(each.median_ms)) for key, each in known if not disturbance(each.readings, usual)],
        columns=["key", "log"],
    )
    deviations = (logs["log"] - logs.groupby("key")["log"].transform("mean")).to_numpy()
    pairs = np.stack([deviations[:-1], deviations[1:]])[:, logs["key"].to_numpy()[:-1] != logs["key"].to_numpy()[1:]]
    # A few sessions that lie far off would decide alone.
    most = np.quantile(np.abs(deviations), 0.95)
    first, second = pairs.clip(-most, most)
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def intervals_of(frame: pd.DataFrame) -> list[Interval]:
    return [LATENCY.interval({str(name): value for name, value in row.items()}) for _, row in frame.iterrows()]


def marked(frame: pd.DataFrame) -> Any:
    """Tell which latencies are on record as disturbed."""
    if "latency_disturbed" not in frame.columns:
        return np.zeros(len(frame), dtype=bool)
    return frame["latency_disturbed"].notna().to_numpy()


def tau(intervals: list[tuple[Interval, Interval]], *, apart: bool) -> float:
    """Return Kendall's tau between two runs, over all pairs of stacks or those that either run tells apart."""
    agreeing = []
    for (a, second_a), (b, second_b) in itertools.combinations(intervals, 2):
        told = any(x.is_below(y) or y.is_below(x) for x, y in ((a, b), (second_a, second_b)))
        if told or not apart:
            agreeing.append(float(np.sign(a.value - b.value) * np.sign(second_a.value - second_b.value)))
    return mean(agreeing) if agreeing else 1.0


def agreement(one: pd.DataFrame, other: pd.DataFrame) -> float:
    """Return the share of stacks on either front that are on both, or tied with the one that they are not on."""
    objectives: Any = {"accuracy": "maximize", "latency_ms": "minimize"}
    with_ties = [front_with_ties(frame, objectives) for frame in (one, other)]
    fronts = [set(rows.index[~rows["tied"]]) for rows in with_ties]
    near = [set(rows.index) for rows in with_ties]
    either = fronts[0] | fronts[1]
    return len(either & near[0] & near[1]) / len(either)


@contextmanager
def busy() -> Iterator[None]:
    """Compute on one core in another process for a fifth of the time, at random."""
    core = sorted(os.sched_getaffinity(0))[-1]
    code = f"import os\nos.sched_setaffinity(0, [{core}])\nwhile True: pass"
    process = subprocess.Popen([sys.executable, "-c", code])
    code = (
        "import os, random, signal, sys, time\n"
        f"pid, busy = {process.pid}, False\n"
        "while True:\n"
        "    os.kill(pid, signal.SIGCONT if busy else signal.SIGSTOP)\n"
        f"    time.sleep(random.expovariate(1 / ({BUSY_SECONDS} if busy else {IDLE_SECONDS})))\n"
        "    busy = not busy\n"
    )
    switch = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        switch.kill()
        process.send_signal(signal.SIGKILL)
        switch.wait()
        process.wait()


if __name__ == "__main__":
    random.seed(0)
    main()
