"""What a question of a report is answered with: sentences, numbers, a figure; or what has to be run for an answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from explorer.results import export

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

    from explorer.results.study_report.evidence import Evidence

Choices = Sequence[str | int | float]
MOST_SAID = 6  # sentences of one kind; what is left out stands in the table


@dataclass(frozen=True)
class Needs:
    """What a study lacks for an answer.

    Parameters
    ----------
    axes
        Axis → choices that stacks are to be run with.
    why
        What is missing, in a few words.
    first
        What else has to be done before, such as adding a device; "" for nothing.
    """

    axes: Mapping[str, Choices]
    why: str
    first: str = ""

    @property
    def sentence(self) -> str:
        """The whole of it as one sentence."""
        run = ", ".join(f"{axis} = {json.dumps(list(choices))}" for axis, choices in self.axes.items())
        todo = " and ".join(part for part in (self.first, f"stacks with {run}" if run else "") if part)
        return f"Not enough on record: run {todo}; {self.why}."


@dataclass(frozen=True)
class Answer:
    """The answer to one question.

    Parameters
    ----------
    sentences
        What follows from the numbers, the most important first.
    table
        The numbers: a row for each thing compared. Columns that are a share, a ratio or the like are plain numbers.
    stacks
        How many measured stacks stand behind it.
    draw
        Draws the figure; None where there is none.
    note
        How the numbers come about.
    needs
        What is to be run where there is not enough on record; the rest is empty then.
    """

    sentences: tuple[str, ...]
    table: pd.DataFrame
    stacks: int
    draw: Callable[[], go.Figure | None] | None = None
    note: str = ""
    needs: Needs | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the answer as plain values for JSON."""
        needs = {"axes": {axis: list(choices) for axis, choices in self.needs.axes.items()}} if self.needs else None
        return {
            "sentences": list(self.sentences), "stacks": self.stacks, "note": self.note,
            "rows": export.rows(self.table), "needs": needs,
        }  # fmt: skip


@dataclass(frozen=True)
class Question:
    """One question of a report.

    Parameters
    ----------
    kind
        Its short name; that of its figure, too.
    text
        The question itself.
    ask
        Answers it.
    """

    kind: str
    text: str
    ask: Callable[[Evidence], Answer] = field(repr=False)

    def figure(self, evidence: Evidence) -> go.Figure | None:
        """Return the figure of the answer; None where it has none, or not enough is on record."""
        draw = self.ask(evidence).draw
        return draw() if draw else None


def lacking(axes: Mapping[str, Choices], why: str, first: str = "") -> Answer:
    """Return the answer of a study that has too little on record."""
    import pandas as pd

    needs = Needs(axes, why, first)
    return Answer((needs.sentence,), pd.DataFrame(), 0, needs=needs)


def said(sentences: Sequence[str], rest: str = "more in the table") -> tuple[str, ...]:
    """Return at most `MOST_SAID` sentences, and how many are left out."""
    if len(sentences) <= MOST_SAID:
        return tuple(sentences)
    return (*sentences[:MOST_SAID], f"{len(sentences) - MOST_SAID} {rest}.")
