"""Finished trials of a study of any size → its fronts, and its lines across devices, with a sample of what is faint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from explorer.results.across_devices.lines import lines, measured_on_several
from explorer.results.figures import fronts
from explorer.results.figures.layout import ON_FRONT, TIED
from explorer.space.limits import Limit

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MOST_FAINT = 1000  # stacks that are on no front: a page with more is slow under the pointer
SEED = 0


def front(complete: pd.DataFrame, title: str, limits: Sequence[Limit]) -> go.Figure:
    """Return accuracy over latency for every device, with all stacks on a front or tied with it, and a sample."""
    standing = fronts.with_standing(complete, limits)["standing"]
    kept, left_out = _sampled(complete, standing.isin([ON_FRONT, TIED]))
    return _noted(fronts.fronts(kept, title, limits=limits), left_out)


def across_devices(complete: pd.DataFrame, title: str, limits: Sequence[Limit]) -> go.Figure | None:
    """Return a line across devices for each stack on a front that was measured on several, and for a sample."""
    shared = measured_on_several(complete, limits)
    if shared.empty:
        return None
    best = shared["stack"].isin(shared.loc[shared["standing"] == ON_FRONT, "stack"])
    faint = shared.loc[~best, "stack"].drop_duplicates()
    chosen = faint if len(faint) <= MOST_FAINT else faint.sample(MOST_FAINT, random_state=SEED)
    kept = complete.loc[shared[best | shared["stack"].isin(chosen)].index]
    figure = lines(kept, title, limits=limits)
    return figure and _noted(figure, len(faint) - len(chosen))


def _sampled(complete: pd.DataFrame, shown: pd.Series[bool]) -> tuple[pd.DataFrame, int]:
    """Return the rows that are `shown` and a sample of the others, and how many of these are left out."""
    others = complete[~shown]
    if len(others) <= MOST_FAINT:
        return complete, 0
    chosen = others.sample(MOST_FAINT, random_state=SEED).index
    return complete[shown | complete.index.isin(chosen)], len(others) - MOST_FAINT


def _noted(figure: go.Figure, left_out: int) -> go.Figure:
    """Put into the place of the title, which a page has as its heading, how many faint stacks are not drawn."""
    said = f"{left_out:,} more stacks that are on no front are not drawn" if left_out else ""
    figure.update_layout(title={"text": f'<span style="font-size:13px;color:#555">{said}</span>'}, margin={"t": 60})
    return figure
