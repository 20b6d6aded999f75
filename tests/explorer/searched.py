"""A study as `search` leaves it behind, with outcomes that cost nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from explorer.core.errors import Failure
from explorer.core.measurement.quantities import LATENCY
from explorer.search.optuna_study.study import Study
from explorer.workspace.database.records import Record, Records
from explorer.workspace.workspace import Workspace
from tests.explorer.frames import complete
from tests.explorer.spaces import SMALL, make


def searched(root: Path, **search: object) -> tuple[Workspace, Records]:
    """Return a new workspace in `root` with twelve trials of the study ``drawn`` and two executions of ``train``."""
    place = Workspace(root / "w")
    place.root.mkdir()
    space = make(root, SMALL, sampler="grid", trials=12, **search)
    records = Records(place.url)
    study = Study(space, place, records)
    for _ in range(12):
        asked = study.ask()
        assert asked is not None
        number, configuration = asked
        study.tell(number, configuration, _outcome(number), 0.1)
    records.executions.add("train", "k", 2.5)
    records.executions.add("train", "l", 1.5)
    return place, records


def searched_on_two(root: Path) -> tuple[Workspace, Records]:
    """Return the same with all stacks on ``board`` too, but for trial 8's: they take twice as long, on 2 threads more.

    The trial of a stack on the board has the number of that on this machine, plus 100.
    """
    place, records = searched(root)
    for number, configuration, record in records.complete("drawn"):
        if number != 8:
            factor = 2 + 2 * (configuration.threads > 1)
            latencies = {name: factor * record.values[name] for name in LATENCY.columns}
            on_board = replace(configuration, device="board")
            records.add_trial("drawn", 100 + number, on_board, Record({**record.values, **latencies}), 1.0)
    return place, records


def _outcome(number: int) -> Record | Failure:
    if number % 5 == 4:
        return Failure("measure", "crash", f"trial {number} [died]", "the last line of the log")
    row = complete(number, 0.9 + 0.005 * number, 1.0 + number)
    names = (
        "accuracy",
        "accuracy_low",
        "accuracy_high",
        "test_accuracy",
        "test_images",
        "latency_ms",
        "latency_low_ms",
        "latency_high_ms",
        "size_bytes",
    )
    return Record({name: row[name] for name in names} | {"build_key": "0" * 64})  # an artifact that is gone
