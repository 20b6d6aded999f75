"""The ranking of a mixed network's layers: read from where the stage writes it, in order, with the dtypes that run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from rich.console import Console

from explorer.core import plugins
from explorer.results.tables.study_tables import trial_text
from explorer.results.trials.account import LayerAccount
from explorer.results.trials.ranking import RANKING, ranking_of
from explorer.results.trials.trial import Trial


def row(layer: str, harm: float, place: int | None) -> dict[str, object]:
    return {"layer": layer, "harm": harm, "float32_us": 12.0, "int8_us": 3.5, "place": place}


def test_layers_are_in_the_order_to_quantize_in_those_that_save_nothing_last(tmp_path: Path) -> None:
    rows = [row("a", 0.001, 1), row("b", 0.1, None), row("c", 0.0, 0)]
    (tmp_path / RANKING).write_text(json.dumps(rows))
    account = [cast(LayerAccount, {"name": name, "dtype": dtype}) for name, dtype in (("a", "float32"), ("c", "int8"))]
    ranking = ranking_of(tmp_path, account)
    assert [(each["layer"], each["dtype"]) for each in ranking] == [("c", "int8"), ("a", "float32"), ("b", "")]
    console = Console(width=100, record=True)
    console.print(*trial_text(Trial({}, [], "", ranking=ranking)))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["a", "30.0", "12.0", "3.5", "float32"] in lines
    assert ["c", "unchanged", "12.0", "3.5", "int8"] in lines


def test_it_is_read_from_where_the_stage_writes_it() -> None:
    assert plugins.literal("stage", "rank", "RANKING") == RANKING
