"""A study's frame, fronts, objectives and limits → what every question of a report looks at, computed once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from explorer.core.configuration import AXES
from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import LATENCY, SIZE
from explorer.results.emulated import emulated_devices, without_emulated
from explorer.results.study_report.pairs import axis_codes
from explorer.space.limits import Limit
from explorer.space.toml.space_file import Direction

if TYPE_CHECKING:
    import pandas as pd

# Columns that questions may take as given; a gap where the study has no such value on record.
EXPECTED = (
    "number", "state", *AXES, *LATENCY.columns, str(SIZE), "macs", "weights", "nonzeros",
    "weight_bytes", "tuned_ratio", "tuned_ratio_low", "tuned_ratio_high", "convolutions", "convolutions_as_asked",
    "failed_stage", "failure_kind", "failure",
)  # fmt: skip


@dataclass(frozen=True)
class Evidence:
    """The finished trials of a study that may stand beside one another.

    Parameters
    ----------
    name
        The study's.
    frame
        One row per finished trial; it has at least the columns `EXPECTED` and those of its metric.
    fronts
        The fronts of its devices and their ties, as `certainty.front_with_ties` returns them.
    left_out
        The emulated devices whose trials are not in `frame`.
    """

    name: str
    frame: pd.DataFrame
    fronts: pd.DataFrame
    objectives: Mapping[str, Direction]
    limits: tuple[Limit, ...]
    left_out: tuple[str, ...] = ()

    @staticmethod
    def of(
        name: str,
        frame: pd.DataFrame,
        fronts: pd.DataFrame,
        objectives: Mapping[str, Direction],
        limits: Sequence[Limit] = (),
        emulated: bool = False,
    ) -> Evidence:
        """Return the evidence of a study's `frame` and `fronts`; that of emulated devices only if `emulated`."""
        expected = (*EXPECTED, *Metric.of_frame(frame).quantity.columns)
        missing = [column for column in expected if column not in frame]
        whole = frame.reindex(columns=[*frame.columns, *missing])
        left_out = frozenset() if emulated else emulated_devices(frame)
        beside, on_fronts = (without_emulated(rows, left_out) for rows in (whole, fronts))
        return Evidence(name, beside, on_fronts, objectives, tuple(limits), tuple(sorted(left_out)))

    @cached_property
    def metric(self) -> Metric:
        """What the study's networks are judged by."""
        return Metric.of_frame(self.frame)

    def about_its_metric(self, text: str) -> str:
        """Return a text about the accuracy as one about the study's metric."""
        return text.replace("accuracy", self.metric.name)

    @cached_property
    def complete(self) -> pd.DataFrame:
        """The rows with their metric and a latency on record, one for each stack: the last trial of it."""
        rows = self.frame[self.frame["state"] == "complete"]
        rows = rows[rows[self.metric.name].notna() & (rows[str(LATENCY)] > 0)]
        return rows[~axis_codes(rows).duplicated(keep="last")]

    @cached_property
    def codes(self) -> pd.DataFrame:
        """The choices of `complete` as numbers; see `pairs.axis_codes`."""
        return axis_codes(self.complete)

    @property
    def devices(self) -> list[str]:
        """The devices that a stack was measured on, sorted."""
        return sorted(self.complete["device"].unique())

    def choices(self, axis: str) -> list[object]:
        """Return the choices on `axis` that a measured stack has, numbers before names."""
        found = self.complete[axis].dropna().unique().tolist()
        return sorted(found, key=lambda choice: (isinstance(choice, str), choice))
