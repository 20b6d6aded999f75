"""An opened study's fronts → plain values for JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from explorer.results.export import rows

if TYPE_CHECKING:
    import pandas as pd

    from explorer.results.across_devices.comparison import Comparison
    from explorer.results.open_study import OpenStudy


def front(
    study: OpenStudy, stacks: pd.DataFrame, nearest: pd.DataFrame, compared: Comparison | None, page: Path | None
) -> dict[str, object]:
    """Return the fronts of a study as plain values.

    Parameters
    ----------
    stacks, nearest
        Rows of the fronts with their ties, and of `OpenStudy.nearest`.
    page
        The figure that was written, if any.
    """
    return {
        "study": study.name,
        "objectives": dict(study.objectives),
        "limits": [str(limit) for limit in study.limits],
        "stacks": rows(stacks),
        "nearest": rows(nearest),
        "comparison": compared and compared.as_dict(),
        "page": None if page is None else str(page),
    }
