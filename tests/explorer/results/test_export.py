from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest

from explorer.core.errors import ExplorerError
from explorer.results import export
from tests.explorer.frames import complete, failed, frame_of
from tests.explorer.spaces import SMALL, make


def test_parquet_takes_numbers_beside_words(tmp_path: Path) -> None:
    rows = [complete(index, 0.9, 1.0, channel_multiple=multiple) for index, multiple in enumerate((8, "vector", None))]
    export.to_parquet(pd.DataFrame(rows), tmp_path / "t.parquet")
    assert pd.read_parquet(tmp_path / "t.parquet")["channel_multiple"].fillna("-").to_list() == ["8", "vector", "-"]


def test_csv_goes_to_a_file_or_an_open_one(tmp_path: Path) -> None:
    frame = frame_of(complete(0, 0.9, 1.0), failed(1))
    export.to_csv(frame, tmp_path / "t.csv")
    export.to_csv(frame, stream := io.StringIO())
    assert (tmp_path / "t.csv").read_text() == stream.getvalue()
    assert list(pd.read_csv(tmp_path / "t.csv").columns) == list(frame.columns)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    frame = frame_of(complete(0, 0.9, 1.0))
    for write in (export.to_csv, export.to_parquet):
        with pytest.raises(ExplorerError, match=r"cannot write '.*missing/t'"):
            write(frame, tmp_path / "missing" / "t")


def test_rows_are_plain_and_whole_numbers_stay_whole() -> None:
    done, broken = export.rows(frame_of(complete(0, 0.9, 1.0), failed(1)))
    assert done["test_images"] == 450
    assert isinstance(done["test_images"], int)
    assert broken["test_images"] is None
    assert broken["ratio"] is None
    assert export.rows(frame_of()) == []


def test_a_space_is_plain_values(tmp_path: Path) -> None:
    space = make(tmp_path, {**SMALL, "ratio": {"low": 0.3, "high": 0.9}}, limits=["latency_ms <= 5"])
    whole = export.whole_space(space, None)
    assert whole.items() >= export.space_row(space).items()
    assert (whole["limits"], whole["stages"], whole["continuous"]) == (["latency_ms <= 5"], None, ("ratio",))
    axes = whole["axes"]
    assert isinstance(axes, dict)
    assert axes["ratio"] == [{"low": 0.3, "high": 0.9, "step": None, "log": False}]
    assert axes["threads"] == [1, 2]
