"""All finished trials → which failed or were skipped, where, and how many convolutions run what was asked for."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import explorer.results.progress.status as status
from explorer.results.figures.failures import failures as draw
from explorer.results.study_report import words
from explorer.results.study_report.answer import Answer, Question, said
from explorer.results.study_report.evidence import Evidence

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["what", "of", "number", "all", "example"]
FAILED, SKIPPED, FELL_BACK = "failed", "skipped", "convolutions that run something else"
NOTE = (
    "A convolution falls back where the algorithm or the format that was asked for cannot run it; dlas show, with a "
    "trial's number, says why for each layer, and prints the log of a trial that failed."
)


def answer(evidence: Evidence) -> Answer:
    """Return the failures by stage and kind, and the convolutions that fell back by algorithm and format."""
    rows = table(evidence)
    return Answer(said(_sentences(evidence, rows)), rows, len(evidence.frame), partial(draw, rows), NOTE)


def table(evidence: Evidence) -> pd.DataFrame:
    """Return a row for each stage and kind of failure, and for each algorithm and format that layers fell back from."""
    import pandas as pd

    frame, rows = evidence.frame, []
    for state in (FAILED, SKIPPED):
        for each in words.rows(status.failures(frame, state)):
            where = f"{each['failed_stage']} ({each['failure_kind']})"
            rows.append((state, where, each["trials"], len(frame), f"trial {each['numbers'][0]}: {each['failure']}"))
    asked = evidence.complete[evidence.complete["convolutions"] > 0]
    sums = asked.groupby(["algorithm", "format"])[["convolutions", "convolutions_as_asked"]].sum().reset_index()
    for each in words.rows(sums):
        other = int(each["convolutions"] - each["convolutions_as_asked"])
        if other:
            rows.append((FELL_BACK, f"{each['algorithm']}, {each['format']}", other, int(each["convolutions"]), ""))
    return pd.DataFrame(rows, columns=COLUMNS)


def _sentences(evidence: Evidence, rows: pd.DataFrame) -> list[str]:
    total = len(evidence.frame)
    found = []
    for state in (FAILED, SKIPPED):
        own = rows[rows["what"] == state]
        count = int(own["number"].sum())
        places = [f"{each['number']:,} in {each['of']}" for each in words.rows(own)]
        if count:
            found.append(
                f"{words.share_of(count, total)} trials {'were ' * (state == SKIPPED)}{state}: {words.listed(places)}."
            )
        elif state == FAILED:
            found.append(f"None of {words.counted(total, 'trial')} failed.")
    fell = rows[rows["what"] == FELL_BACK].copy()
    asked = evidence.complete["convolutions"].dropna()
    if asked.empty:
        return found
    if fell.empty:
        return [*found, f"All of {int(asked.sum()):,} convolutions run the algorithm and format asked for."]
    worst = words.largest(fell, (fell["number"] / fell["all"]).to_numpy(dtype=float))
    return [
        *found,
        f"{words.share_of(int(fell['number'].sum()), int(asked.sum()))} convolutions run something else than asked "
        f"for, the greatest share with {worst['of']}: {words.share_of(int(worst['number']), int(worst['all']))}.",
    ]


QUESTION = Question("failures", "Which trials failed, and which layers fell back?", answer)
