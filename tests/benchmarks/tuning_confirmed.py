"""Small stacks, tuned and untuned, down the line → what stage ``confirm`` says of them, and their latencies."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import explorer
from explorer.core.measurement.quantities import LATENCY
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests.benchmarks.common import Row, print_table
from tests.benchmarks.repeatability import draw

SPACE = """
name = "{name}"
[axes]
dataset = "image_folder"
model = "{model}"
width = {width}
compression = "none"
algorithm = "{algorithm}"
tuning_trials = {budgets}
threads = {threads}
[data]
image_folder = "{images}"
image_size = 32
[train]
epochs = 1
[measure]
sessions = 3
"""
WIDTHS = (0.25, 1.0)


def rows(specs: list[str], algorithms: list[str], trials: int, threads: int, folder: Path) -> list[Row]:
    """Return a row for each model, width and algorithm.

    layers, layers_faster: that the tuner had, and that it made faster by their own samples.
    tuned_ratio and its ends: by stage ``confirm``, of so many sessions, some of them disturbed.
    tune_s, confirm_s: what the stages took.
    untuned_ms, tuned_ms and ends: the latencies on record; equal where the two stacks have one library.
    above: whether the tuned latency lies above the untuned one's interval.
    """
    draw(folder / "images")
    found = []
    for number, (spec, width, algorithm) in enumerate(product(specs, WIDTHS, algorithms)):
        stack = {"model": spec.partition("@")[0], "width": width, "algorithm": algorithm}
        text = SPACE.format(
            **stack, name=f"confirm{number}", budgets=[0, trials], threads=threads, images=folder / "images"
        )
        found.append({"kind": "confirm", **stack, **_row(f"confirm{number}", text, folder)})
        print_table(found[-1:])
    return found


def _row(name: str, text: str, folder: Path) -> Row:
    """Bring a stack on record, tuned and untuned, in the workspace that all of them share."""
    file, workspace = folder / f"{name}.toml", folder / "workspace"
    file.write_text(text)
    before = len(_executions(workspace)) if workspace.exists() else 0
    explorer.grid(file, workspace)
    own = {stage: (key, seconds) for stage, key, seconds in _executions(workspace)[before:]}
    store = Store(Workspace(workspace).artifacts)
    tuned = store.find("tune", own["tune"][0])
    confirmed = store.find("confirm", own["confirm"][0]) if "confirm" in own else None
    assert tuned is not None
    frame = explorer.frame(workspace, study=name).sort_values("tuning_trials")
    one, other = (LATENCY.interval({str(key): value for key, value in row.items()}) for _, row in frame.iterrows())
    values: dict[str, Any] = dict(confirmed.values) if confirmed else {}
    sessions = values.get("sessions", [])
    ends = [(f"tuned_{end}", round(values[end], 3) if values else None) for end in ("ratio", "ratio_low", "ratio_high")]
    return {
        "layers": tuned.values["layers"], "layers_faster": tuned.values["layers_faster"], **dict(ends),
        "sessions": len(sessions), "disturbed": sum(bool(each["disturbed"]) for each in sessions),
        "session_ratios": " ".join(f"{each['ratio']:.3f}{'*' * bool(each['disturbed'])}" for each in sessions),
        "tune_s": round(own["tune"][1], 1), "confirm_s": round(own.get("confirm", ("", 0.0))[1], 1),
        "untuned_ms": one.value, "untuned_low_ms": one.low, "untuned_high_ms": one.high,
        "tuned_ms": other.value, "tuned_low_ms": other.low, "tuned_high_ms": other.high,
        "above": other.value > one.high,
    }  # fmt: skip


def _executions(workspace: Path) -> list[tuple[str, str, float]]:
    frame = Records(Workspace(workspace).url).executions.frame()
    return list(frame[["stage", "key", "seconds"]].itertuples(index=False, name=None))
