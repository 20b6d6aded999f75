"""Node data for Model Explorer: microseconds by the names of tensors."""

from __future__ import annotations

import json

from explorer.profiles.overlay import overlay
from tests.explorer.profiles.drawn import conversion, layer, profile


def test_each_layer_has_its_time_under_its_tensor() -> None:
    found = json.loads(json.dumps(overlay(profile(conversion(3.0), layer("a", 50.0), layer("b", 150.0)))))
    assert found["results"] == {"a:0": {"value": 50.0}, "b:0": {"value": 150.0}}
    assert [each["stop"] for each in found["gradient"]] == [0, 1]
