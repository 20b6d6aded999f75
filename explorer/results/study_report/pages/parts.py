"""A question with its answer → a part of a page, and its table as cells of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from explorer.results.study_report import words
from explorer.results.study_report.answer import Answer

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 40  # of a table on a page; `dlas report --json` prints all


@dataclass(frozen=True)
class Part:
    """One question of a page, under a short name that links lead to."""

    kind: str
    question: str
    answer: Answer

    @property
    def stands_on(self) -> str:
        """How many stacks stand behind the answer, in words."""
        if self.answer.needs:
            return ""
        noun = (
            "trial"
            if self.kind == "failures"
            else "pair"
            if self.kind in ("speed_up", "sparsity", "tuning")
            else "stack"
        )
        return f"Behind it stand {words.counted(self.answer.stacks, noun)}."


def cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]], int]:
    """Return the head of a table, its first rows as text, and how many rows are left out."""
    head = [str(name).replace("_", " ") for name in table.columns]
    rows = [[_text(value) for value in row] for row in table[:MOST_ROWS].itertuples(index=False)]
    return head, rows, max(0, len(table) - MOST_ROWS)


def numeric(table: pd.DataFrame) -> Sequence[bool]:
    """Tell of each column whether it holds numbers."""
    import pandas as pd

    return [pd.api.types.is_numeric_dtype(table[name]) for name in table.columns]


def _text(value: Any) -> str:
    """Return a cell for people: three digits of a number, nothing for a gap."""
    if value is None or (isinstance(value, float) and math.isnan(value)) or str(value) in ("<NA>", "nan"):
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() and abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
