"""Costs of a network's layers before and after its compression → their sums, and the shares that are gone."""

from __future__ import annotations

from collections.abc import Mapping

from explorer.line.contracts.compress import Compared, Costs

FLOAT32_BYTES = 4
QUANTITIES = ("weights", "nonzeros", "channels", "macs")


def total(layers: Mapping[str, Costs], quantity: str) -> int:
    """Return the sum of one quantity over all layers."""
    return sum(layer[quantity] for layer in layers.values())


def compared(before: Mapping[str, Costs], after: Mapping[str, Costs]) -> Compared:
    """Return what the layers of a network, by their names, cost before and after it was compressed."""
    whole, left = ({name: total(layers, name) for name in QUANTITIES} for layers in (before, after))
    return {
        "weights": left["weights"],
        "nonzeros": left["nonzeros"],
        "channels": left["channels"],
        "macs": left["macs"],
        "weights_before": whole["weights"],
        "nonzeros_before": whole["nonzeros"],
        "channels_before": whole["channels"],
        "macs_before": whole["macs"],
        "weight_bytes_before": FLOAT32_BYTES * whole["weights"],
        "removed_weights": _removed(left["nonzeros"], whole["nonzeros"]),
        "removed_channels": _removed(left["channels"], whole["channels"]),
        "layers": {name: {"before": before[name], "after": after.get(name)} for name in before},
    }


def _removed(left: int, whole: int) -> float:
    """Return the share that is gone; of nothing, nothing is."""
    return 1 - left / whole if whole else 0.0
