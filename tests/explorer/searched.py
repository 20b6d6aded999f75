"""A study as `search` leaves it behind, with outcomes that cost nothing."""

from __future__ import annotations

from pathlib import Path

from explorer.core.errors import Failure
from explorer.search.study import Study
from explorer.workspace.records import Record, Records
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
    records.add_execution("train", "k", 2.5)
    records.add_execution("train", "l", 1.5)
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
