"""The accuracy/latency front of each device → its knee: the stack from which on more accuracy costs the most.

The knee is the point that lies farthest above the chord from the front's fastest to its most accurate stack, both axes
scaled so that the chord goes from (0, 0) to (1, 1): latencies by their logarithms, as twice as slow costs the same
everywhere, accuracies as they are (Das, On characterizing the "knee" of the Pareto curve based on normal-boundary
intersection, Structural Optimization 1999; Satopää et al., Finding a "Kneedle" in a Haystack, ICDCS Workshops 2011).
A front of fewer than three points, or with none above the chord, has no knee.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

from explorer.core.measurement.metric import Metric
from explorer.fronts.pareto import on_front
from explorer.space.toml.space_file import Direction

if TYPE_CHECKING:
    import pandas as pd

LEAST_POINTS = 3
LEAST_DISTANCE = 1e-9  # above the chord, below which a point lies on it up to rounding


def axes(frame: pd.DataFrame) -> Mapping[str, Direction]:
    """Return the two objectives of the front that pages show: the metric of the study of these trials, and latency."""
    metric = Metric.of_frame(frame)
    return {metric.name: metric.direction, "latency_ms": "minimize"}


def knees(front: pd.DataFrame) -> dict[str, Hashable]:
    """Return device → index of the knee, for each device that has one.

    Parameters
    ----------
    front
        Rows of complete trials, of whatever front: of each device those count that are on its accuracy/latency front.
        Of stacks that are equal in both, the first is the knee.
    """
    both = axes(front)
    points = front[on_front(front, both)] if len(front) else front
    points = points.drop_duplicates(["device", *both])
    metric = Metric.of_frame(front)
    found = {str(device): _knee(rows, metric) for device, rows in points.groupby("device")} if len(points) else {}
    return {device: index for device, index in found.items() if index is not None}


def _knee(points: pd.DataFrame, metric: Metric) -> Hashable | None:
    """Return the index of the point that lies farthest above the chord."""
    import numpy as np

    if len(points) < LEAST_POINTS:
        return None
    latency, reached = np.log(points["latency_ms"]), metric.sign * points[metric.name]
    scaled = [(axis - axis.min()) / (axis.max() - axis.min()) for axis in (latency, reached)]
    # The distance from the chord, on which both are equal, is the difference over the root of 2.
    above = scaled[1] - scaled[0]
    index: Hashable = above.idxmax()
    return index if above.max() > LEAST_DISTANCE else None
