"""A study's rows → the metric that its networks are judged by: its name on record, and which way it is better.

The metric of a classifier is its accuracy. Any other task has a function of the user's own, ``[evaluate] metric``, and
its name is that of the column, the objective and the axis; only this module says which of two of its values is better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from explorer.core.measurement.quantities import Quantity

if TYPE_CHECKING:
    import pandas as pd

Direction = Literal["maximize", "minimize"]

NAME, DIRECTION = "metric", "metric_direction"  # columns of a trial whose metric is not the accuracy


@dataclass(frozen=True)
class Metric:
    """A number that says how good a network's answers are.

    Parameters
    ----------
    name
        The column that has it for the validation split.
    direction
        Whether more or less of it is better.
    """

    name: str = "accuracy"
    direction: Direction = "maximize"

    @staticmethod
    def given(function: str, direction: Direction) -> Metric:
        """Return the metric that ``[evaluate]`` names, ``module:function`` or nothing for the accuracy."""
        return Metric(function.rpartition(":")[2], direction) if function else ACCURACY

    @staticmethod
    def of(row: Mapping[str, Any]) -> Metric:
        """Return the metric of a trial by its column → value; the accuracy where none is on record."""
        name = row.get(NAME)
        return Metric(name, row[DIRECTION]) if isinstance(name, str) else ACCURACY

    @staticmethod
    def of_frame(frame: pd.DataFrame) -> Metric:
        """Return the metric of a study by its trials, a row each: all have the same, and failed ones have none.

        Where no row is left of them, their columns tell its name.
        """
        if NAME not in frame:
            return ACCURACY
        rows = frame.loc[frame[NAME].notna(), [NAME, DIRECTION]]
        if len(rows):
            return Metric(*rows.iloc[0])
        names = [name for name in map(str, frame.columns) if f"test_{name}" in frame and name != ACCURACY.name]
        return Metric(names[0]) if names else ACCURACY

    @property
    def is_accuracy(self) -> bool:
        """Whether it is the share of images that are classified correctly."""
        return self == ACCURACY

    @property
    def quantity(self) -> Quantity:
        """The quantity that the validation split gives it."""
        return Quantity(self.name)

    @property
    def test(self) -> str:
        """The column that has it for the test split."""
        return f"test_{self.name}"

    @property
    def maximised(self) -> bool:
        """Whether more of it is better."""
        return self.direction == "maximize"

    @property
    def columns(self) -> dict[str, str]:
        """The columns that say of a trial which metric it has; none for the accuracy."""
        return {} if self.is_accuracy else {NAME: self.name, DIRECTION: self.direction}

    @property
    def sign(self) -> int:
        """The factor that makes more of a value better: 1, or -1 where less is better."""
        return 1 if self.maximised else -1

    def gain(self, value: float, over: float) -> float:
        """Return by how much `value` is better than another; negative where it is worse."""
        return self.sign * (value - over)

    def text(self, value: float | None) -> str:
        """Return a value for people: the accuracy as a share, any other metric with four digits; None as nothing."""
        if value is None:
            return ""
        return f"{100 * value:.2f} %" if self.is_accuracy else f"{value:.4g}"

    def difference(self, gain: float) -> str:
        """Return a gain, or a loss, for people: ``"1.25 points"`` of accuracy, ``"0.0125"`` of another metric."""
        return f"{100 * gain:.2f} points" if self.is_accuracy else f"{gain:.4g}"


ACCURACY = Metric()
