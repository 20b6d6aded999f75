"""Harm of 8 bits in each layer of a network that mixes dtypes, and the time saved → rows in the order of ranking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, cast

from explorer.results.trials.account import LayerAccount

RANKING = "ranking.json"  # in a rank artifact; explorer.line.stages.rank, which writes it, imports TVM


class RankedLayer(TypedDict):
    """One layer that could have 8-bit integers.

    Attributes
    ----------
    layer : the name of its weights
    harm : the change of the network's output by 8 bits in it alone, as a share of the output's variation
    float32_us, int8_us : its time on the device, in a network of either; None where no program of its own was timed
    place : in the order to quantize in, from 0; None where 8 bits save nothing
    dtype : that it has in the network in the end; "" where its account is gone
    """

    layer: str
    harm: float
    float32_us: float | None
    int8_us: float | None
    place: int | None
    dtype: str


def ranking_of(folder: Path, layers: Sequence[LayerAccount]) -> list[RankedLayer]:
    """Return the layers as ranked, those that save nothing last, with their dtypes in the account `layers`."""
    dtypes = {layer["name"]: layer["dtype"] for layer in layers}
    rows = json.loads((folder / RANKING).read_text())
    found = [cast(RankedLayer, {**row, "dtype": dtypes.get(row["layer"], "")}) for row in rows]
    return sorted(found, key=lambda row: len(found) if row["place"] is None else row["place"])
