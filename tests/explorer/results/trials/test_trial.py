"""One trial: its row, layers and log in one object of plain values, and the file that its layers come from."""

from __future__ import annotations

import json

from dlas_ops.placement.account import Layer
from explorer.core import plugins
from explorer.results.trials.account import LayerAccount
from explorer.results.trials.trial import LAYERS, Trial


def test_a_trial_is_plain_values() -> None:
    [layer] = json.loads(json.dumps([Layer("conv1", "conv2d", (1, 3, 8, 8), (8, 3, 3, 3), (), "a/b", "a/b").to_json()]))
    values = Trial({"number": 3, "ratio": None}, [layer], "it died", "it takes long").as_dict()
    assert values == {
        "number": 3, "ratio": None, "layers": [layer], "coverage": None, "log": "it died", "why": "it takes long",
        "ranking": [], "devices": [],
    }  # fmt: skip
    assert json.loads(json.dumps(values)) == values
    assert layer.keys() == LayerAccount.__required_keys__


def test_layers_are_read_from_where_the_stage_writes_them() -> None:
    assert plugins.literal("stage", "build", "LAYERS") == LAYERS
