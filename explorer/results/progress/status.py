"""The records of a study → how far it is, what failed and why, and how larger tuning budgets change the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise, product
from typing import TYPE_CHECKING

from explorer.core.measurement.quantities import LATENCY
from explorer.results import export
from explorer.results.measured_on import MeasuredOn, measured_on
from explorer.search import successive_halving
from explorer.search.successive_halving import Finished
from explorer.space.toml.space_file import RUNGS

if TYPE_CHECKING:
    import pandas as pd

    from explorer.workspace.database.records import Ended, Records


@dataclass(frozen=True)
class Status:
    """How far a study is.

    Parameters
    ----------
    study
        Its name.
    ended
        Numbers of trials, by how they ended.
    frame
        One row per finished trial.
    failures, skipped
        One row per stage and kind of failure, as `failures` returns them, and of the trials that were left out.
    executions
        One row per execution of a stage in the workspace.
    ranks
        One per device and pair of tuning budgets.
    devices
        That trials were measured on.
    """

    study: str
    ended: Ended
    frame: pd.DataFrame
    failures: pd.DataFrame
    skipped: pd.DataFrame
    executions: pd.DataFrame
    ranks: Sequence[Ranks]
    devices: Sequence[MeasuredOn] = ()

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values for JSON, trials and executions as totals."""
        stages = self.executions.groupby("stage")["seconds"].agg(["count", "sum"]).to_dict("index")
        return {
            "study": self.study,
            **self.ended._asdict(),
            "failures": export.rows(self.failures),
            "stages": stages,
            "tuning": [asdict(each) for each in self.ranks],
            "devices": [each.as_dict() for each in self.devices],
        }


def status_of(study: str, records: Records, frame: pd.DataFrame) -> Status:
    """Return the status of `study`; `frame` has its finished trials."""
    finished = [Finished(number, axes, record.values) for number, axes, record in records.complete(study)]
    return Status(
        study,
        records.count(study),
        frame,
        failures(frame),
        failures(frame, "skipped"),
        records.executions.frame(),
        ranks(finished),
        measured_on(study, records),
    )


def failures(frame: pd.DataFrame, state: str = "failed") -> pd.DataFrame:
    """Return one row per stage and kind of failure: how often, in which trials, and the first one's message.

    Parameters
    ----------
    state
        ``"failed"``, or ``"skipped"`` for trials that were left out.
    """
    import pandas as pd

    columns = ["failed_stage", "failure_kind", "trials", "numbers", "failure"]
    if frame.empty:
        return pd.DataFrame(columns=columns)
    failed = frame[frame["state"] == state]
    rows = [
        (stage, kind, len(group), group["number"].tolist(), group["failure"].iloc[0])
        for (stage, kind), group in failed.groupby(["failed_stage", "failure_kind"], sort=False)
    ]
    return pd.DataFrame(rows, columns=columns).sort_values("trials", ascending=False, kind="stable")


@dataclass(frozen=True)
class Ranks:
    """The changes that a larger tuning budget brings to the order of the stacks judged with both, on one device.

    Parameters
    ----------
    axis, smaller, larger
        The two budgets.
    stacks
        Number of stacks that were judged with both.
    pairs
        Pairs of these stacks whose intervals lie apart with both budgets.
    inverted
        Pairs among them that have another order with the larger budget.
    winner, tuned_winner
        Numbers of the trials that are the fastest with the smaller and with the larger budget.
    winner_changes
        Whether the two are different stacks.
    """

    device: str
    axis: str
    smaller: int
    larger: int
    stacks: int
    pairs: int
    inverted: int
    winner: int
    tuned_winner: int
    winner_changes: bool


def ranks(trials: Sequence[Finished]) -> list[Ranks]:
    """Return how the order by latency changes from each tuning budget to the next one, device by device."""
    found = []
    for axis in RUNGS:
        budgets = sorted({int(getattr(trial.configuration, axis)) for trial in trials})
        for device, (smaller, larger) in product(
            dict.fromkeys(t.configuration.device for t in trials), pairwise(budgets)
        ):
            lower, upper = (
                [t for t in trials if t.configuration.device == device and getattr(t.configuration, axis) == budget]
                for budget in (smaller, larger)
            )
            both = successive_halving.climbed(lower, upper, axis)
            if len(both) < 2:
                continue
            counted = successive_halving.inversions(lower, upper, axis)
            before = min(both, key=lambda pair: LATENCY.interval(pair[0].values).value)
            after = min(both, key=lambda pair: LATENCY.interval(pair[1].values).value)
            found.append(
                Ranks(
                    device, axis, smaller, larger, len({below.number for below, _ in both}), counted.pairs,
                    counted.inverted, before[0].number, after[1].number, before[0].number != after[0].number,
                )
            )  # fmt: skip
    return found
