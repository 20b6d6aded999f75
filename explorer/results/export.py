"""Frames and search spaces → plain values for JSON, and tables in files."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from explorer.core.errors import ExplorerError
from explorer.space.axes import WORDS, Choice

if TYPE_CHECKING:
    import pandas as pd

    from explorer.line.trials.dry_run import StageCount
    from explorer.space.space import Space


def rows(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return the rows as plain values; a gap is None, and whole numbers in a column with gaps stay whole."""
    text = frame.convert_dtypes().to_json(orient="records", double_precision=15)
    found: list[dict[str, object]] = json.loads(text)
    return found


def to_csv(frame: pd.DataFrame, output: Path | TextIO) -> None:
    """Write `frame` as CSV into a file.

    Raises
    ------
    ExplorerError
        If the file cannot be written.
    """
    with writing(output):
        frame.to_csv(output, index=False)


def to_parquet(frame: pd.DataFrame, output: Path) -> None:
    """Write `frame` as Parquet, which knows one type a column: numbers beside a word become text.

    Raises
    ------
    ExplorerError
        If the file cannot be written.
    """
    mixed = [axis for axis in WORDS if any(isinstance(value, str) for value in frame[axis])]
    with writing(output):
        frame.astype(dict.fromkeys(mixed, "string")).to_parquet(output, index=False)


def to_text(text: str, output: Path) -> None:
    """Write `text` into a file.

    Raises
    ------
    ExplorerError
        If the file cannot be written.
    """
    with writing(output):
        output.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def writing(output: Path | TextIO) -> Iterator[None]:
    """Make it one sentence that the file `output` cannot be written.

    Raises
    ------
    ExplorerError
        That sentence, which has the reason.
    """
    try:
        yield
    except OSError as error:  # those of pandas and pyarrow have a text alone
        reason = error.strerror or str(error)
        if isinstance(output, Path) and error.errno in (None, errno.ENOENT) and not output.parent.is_dir():
            reason = f"there is no folder '{output.parent}'"
        raise ExplorerError(f"cannot write '{error.filename or output}': {reason}") from error


def space_row(space: Space) -> dict[str, object]:
    """Return a search space in short as plain values."""
    return {
        "name": space.name,
        "configurations": space.count,
        "continuous": space.continuous,
        "sampler": space.sampler,
        "trials": space.trials,
        "devices": space.axes["device"].choices,
        "objectives": dict(space.objectives),
        "limits": [str(limit) for limit in space.limits],
        "file": str(space.path),
    }


def whole_space(space: Space, stages: Sequence[StageCount] | None) -> dict[str, object]:
    """Return a search space as plain values, with its axes and the executions of its stages, None if not counted."""
    axes = {name: [_choice(choice) for choice in axis.choices] for name, axis in space.axes.items()}
    counts = None if stages is None else [asdict(each) for each in stages]
    return {**space_row(space), "axes": axes, "missing_devices": space.missing_devices, "stages": counts}


def _choice(choice: Choice) -> object:
    """Return a choice as a plain value; a continuous range as its bounds."""
    return asdict(choice) if is_dataclass(choice) else choice
