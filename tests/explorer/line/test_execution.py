"""An execution seen from inside: words now and then, and the same files for the next one with its key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest

from explorer.line import execution
from explorer.line.execution import SILENCE, Execution, current, executing


def test_progress_soon_after_the_last_is_left_unsaid(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(execution, "time", SimpleNamespace(monotonic=lambda: now))
    words: list[Mapping[str, object]] = []
    told = Execution(tell=words.append)
    for done, passed in enumerate((0.0, SILENCE / 2, SILENCE)):
        now += passed
        told.advance(done, 3, f"{done} images")
    told.note("a file is damaged")
    assert words == [
        {"progress": {"done": 0, "total": 3, "text": "0 images"}},
        {"progress": {"done": 2, "total": 3, "text": "2 images"}},
        {"note": "a file is damaged"},
    ]


def test_files_of_one_name_are_told_apart_and_found_again(tmp_path: Path) -> None:
    first, again = Execution(tmp_path), Execution(tmp_path)
    files = [first.file("weights.pt"), first.file("weights.pt")]
    assert files == [again.file("weights.pt"), again.file("weights.pt")]
    assert files[0] != files[1]
    assert {file.parent for file in files if file} == {tmp_path}


def test_without_a_folder_nothing_is_kept() -> None:
    assert Execution().file("weights.pt") is None


def test_the_current_execution_is_the_innermost() -> None:
    alone = current()
    assert alone.file("weights.pt") is None
    outer, inner = Execution(), Execution()
    with executing(outer):
        with executing(inner):
            assert current() is inner
        assert current() is outer
    with pytest.raises(ZeroDivisionError), executing(inner):
        raise ZeroDivisionError
    assert current() is alone
