"""Stacks that differ in the algorithm alone → which one is the fastest, and where tuning changes that."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from explorer.core import plugins
from explorer.core.configuration import parts
from explorer.core.measurement.quantities import LATENCY
from explorer.results.figures.winners import winners as draw
from explorer.results.study_report import words
from explorer.results.study_report.answer import Answer, Question, lacking, said
from explorer.results.study_report.evidence import Evidence
from explorer.results.study_report.pairs import TUNING, alike, ends

if TYPE_CHECKING:
    import pandas as pd

PLACE = ["device", "dataset", "model", "width", "dtype"]
TIED = "tied"  # in place of a winner: the two fastest cannot be told apart
COLUMNS = [*PLACE, "algorithm", "wins", "contests", "times_the_next"]
NOTE = (
    "A contest is between stacks that differ in the algorithm alone; the fastest wins where its interval lies below "
    "that of the next one, else it is tied. An algorithm that selects among the others takes no part. "
    "times_the_next: geometric mean of the winner's latency over that of the next one."
)


def answer(evidence: Evidence) -> Answer:
    """Return which algorithm wins for each network, device and dtype, and where tuning changes the winner."""
    found = contests(evidence)
    if found.empty:
        return lacking(
            {"algorithm": ("direct", "gemm", "spatial_pack", "winograd")},
            "a contest takes stacks that differ in the algorithm alone",
        )
    rows = table(found)
    sentences = [_sentence(str(device), group) for device, group in found.groupby("device", sort=True)]
    sentences.append(_tuned_sentence(*changes(evidence, found)))
    return Answer(said(sentences), rows, int(found["stacks"].sum()), partial(draw, rows), NOTE)


def contests(evidence: Evidence) -> pd.DataFrame:
    """Return a row for each contest of at least two algorithms.

    Returns
    -------
    pd.DataFrame
        The row of the fastest stack, with the columns ``dtype``, ``winner`` (its algorithm, or `TIED`), ``stacks`` and
        ``times_the_next``, its latency over the next one's.
    """
    import numpy as np

    rows = evidence.complete
    selecting = rows["algorithm"].map({name: _selects(name) for name in rows["algorithm"].unique()})
    rows = rows[~selecting.astype(bool)]
    value, low, high = ends(rows, LATENCY)
    key = alike(evidence.codes.loc[rows.index], ("algorithm",))
    rows = rows.assign(contest=key, value=value, low=low, high=high, dtype=_dtypes(rows))
    rows = rows.sort_values(["contest", "value"], kind="stable")
    next_one = rows[["contest", "value", "low"]].shift(-1)
    first = ~rows["contest"].duplicated() & (next_one["contest"] == rows["contest"])
    clear = rows["high"] < next_one["low"]
    found = rows.assign(
        winner=rows["algorithm"].astype(object).where(clear, TIED),
        stacks=rows.groupby("contest")["number"].transform("size"),
        times_the_next=np.exp(np.log(rows["value"]) - np.log(next_one["value"])),
    )
    return found[first]


def table(found: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network, device, dtype and winner: how often it wins, and by how much."""
    import numpy as np
    import pandas as pd

    if found.empty:
        return pd.DataFrame(columns=COLUMNS)
    logs = found.assign(log=np.log(found["times_the_next"]))
    won = logs.groupby([*PLACE, "winner"])["log"].agg(wins="size", log="mean").reset_index()
    won["contests"] = won.groupby(PLACE)["wins"].transform("sum")
    won = won.assign(times_the_next=np.exp(won["log"])).rename(columns={"winner": "algorithm"})
    return won.sort_values([*PLACE, "wins"], ascending=[True] * len(PLACE) + [False], kind="stable")[COLUMNS]


def changes(evidence: Evidence, found: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Return the contests that another algorithm wins tuned than untuned, and how many were held both ways and clear.

    Of several budgets, each one's contest counts.
    """
    codes = evidence.codes.loc[found.index]
    key = alike(codes, ("algorithm", *TUNING))
    tuned = (found["tuning_trials"] > 0) | (found["tuning_seconds"] > 0)
    keyed = found.assign(same=key, tuned=tuned)[found["winner"] != TIED]
    untuned = keyed[~keyed["tuned"]].drop_duplicates("same").set_index("same")["winner"].rename("winner_untuned")
    both = keyed[keyed["tuned"] & keyed["same"].isin(untuned.index)].join(untuned, on="same")
    return both[both["winner"] != both["winner_untuned"]], len(both)


def _selects(name: str) -> bool:
    return name in plugins.names("algorithm") and bool(plugins.literal("algorithm", name, "SELECTS", default=False))


def _dtypes(rows: pd.DataFrame) -> pd.Series[str]:
    """Return the type that each stack's network ends in, as its compression says."""
    known = plugins.names("compression")
    last = {name: parts(name)[-1] for name in rows["compression"].unique()}
    dtypes = {
        name: plugins.literal("compression", part, "DTYPE", default="float32") if part in known else "float32"
        for name, part in last.items()
    }
    return rows["compression"].map(dtypes)


def _sentence(device: str, group: pd.DataFrame) -> str:
    counts = group["winner"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    won = [f"{name} wins {count:,}" for name, count in counts.items() if name != TIED]
    tied = int(counts.get(TIED, 0))
    contests_ = words.counted(len(group), "contest")
    places = group.loc[group["winner"] != TIED].groupby(PLACE[1:])["winner"].agg(lambda each: " and ".join(each.mode()))
    if not won:
        return f"On {device}, the two fastest algorithms cannot be told apart in any of {contests_}."
    same = places.nunique() == 1 and places.iloc[0] in counts  # neither different ones nor several that win as often
    which = "the same algorithm wins most on every network and dtype" if same else "it depends on network and dtype"
    beside = f"; in {tied:,} the two fastest cannot be told apart" if tied else ""
    return f"On {device}, of {contests_} {words.listed(won)}{beside}: {which}."


def _tuned_sentence(changed: pd.DataFrame, both: int) -> str:
    if not both:
        return "No contest has a clear winner both untuned and tuned: run stacks with tuning_trials = [0, 64]."
    places = words.listed(sorted(set(changed["model"] + " on " + changed["device"])))
    where = f", on {places}" if len(changed) and len(set(changed["model"])) <= 8 else ""
    return (
        f"Tuning changes the winner in {words.share_of(len(changed), both)} contests that are clear both ways{where}."
    )


QUESTION = Question("algorithms", "Which algorithm wins, and where does tuning change the winner?", answer)
