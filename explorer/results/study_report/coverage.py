"""Measured stacks → what the study does not cover: axes with one choice, choices that no stack has, open questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from explorer.core import plugins
from explorer.core.configuration import AXES, FORMATS
from explorer.results.study_report import words
from explorer.results.study_report.evidence import Evidence

if TYPE_CHECKING:
    import pandas as pd

KNOWN_KINDS = ("dataset", "model", "compression", "algorithm", "tuner")  # of plug-ins that are choices on an axis
COLUMNS = ["axis", "measured", "on_fronts", "not_measured"]


@dataclass(frozen=True)
class Coverage:
    """What a study does not cover.

    Parameters
    ----------
    table
        A row for each axis: the choices of measured stacks, those on fronts, and others that the explorer has.
    """

    sentences: tuple[str, ...]
    table: pd.DataFrame


def covered(evidence: Evidence, unanswered: Sequence[str]) -> Coverage:
    """Return what the study covers and what it does not; `unanswered` are the questions without an answer."""
    import pandas as pd

    rows, alone, missing = [], [], []
    for axis in AXES:
        measured = evidence.choices(axis)
        fronts = evidence.fronts[axis].dropna().unique().tolist() if len(evidence.fronts) else []
        known = FORMATS if axis == "format" else plugins.names(axis) if axis in KNOWN_KINDS else ()
        untried = [name for name in known if name not in measured and (axis != "tuner" or measured)]
        row = (_shown(measured), _shown([each for each in measured if each in fronts]), _shown(untried))
        if any(row):  # no stack has, say, a ratio where nothing is removed
            rows.append((axis, *row))
        if len(measured) == 1:
            alone.append(f"{axis} {_shown(measured)}")
        if untried:
            missing.append(f"{axis} {words.listed(untried)}")
    sentences = []
    if alone:
        sentences.append(
            f"All measured stacks have {words.listed(alone)}: the study says nothing of other choices there."
        )
    if missing:
        sentences.append(f"The explorer also has, and no measured stack does: {'; '.join(missing)}.")
    if unanswered:
        sentences.append(f"Without an answer: {' '.join(unanswered)}")
    return Coverage(tuple(sentences), pd.DataFrame(rows, columns=COLUMNS))


def _shown(choices: Sequence[object]) -> str:
    """Return choices as a list, of many numbers how many and from where to where."""
    if len(choices) > 8 and not any(isinstance(each, str) for each in choices):
        return f"{len(choices):,} from {choices[0]:g} to {choices[-1]:g}"
    return ", ".join(f"{each:g}" if isinstance(each, float) else str(each) for each in choices)
