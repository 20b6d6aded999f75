from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from rich.table import Table

from explorer.cli import terminal


def test_lines_stay_whole_and_tables_have_room_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    line, cell = "word " * 100, "cell " * 30
    table = Table()
    table.add_column("one")
    table.add_row(cell)
    terminal.print_parts(line, table)
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.split() == line.split()
    assert any(cell.strip() in each for each in rest)


def test_parts_are_printed_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    printed = []

    def parts() -> Iterator[str]:
        yield "first"
        printed.append(capsys.readouterr().out)
        yield "second"

    terminal.print_each(parts())
    assert printed == ["first\n"]


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.print_json("best", {"a": [1, None]})
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "command": "best", "result": {"a": [1, None]}}
    with pytest.raises(ValueError, match="JSON compliant"):
        terminal.print_json("best", {"a": float("nan")})
