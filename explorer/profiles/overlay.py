"""Profile of a network → what Model Explorer lays over the network's graph: microseconds on every layer.

The format is that of Model Explorer's custom node data, for a model with one graph. A layer is found by the name of the
tensor that it computes, which is that of the ONNX file.
"""

from __future__ import annotations

from explorer.profiles.profile import Profile

GRADIENT = ({"stop": 0, "bgColor": "#ffffff"}, {"stop": 1, "bgColor": "#d55e00"})  # from the fastest to the slowest


def overlay(profile: Profile) -> dict[str, object]:
    """Return the node data as plain values for JSON."""
    results = {row.tensor: {"value": round(row.us.value, 3)} for row in profile.rows if row.tensor}
    return {"results": results, "gradient": list(GRADIENT)}
