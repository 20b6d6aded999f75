"""The account of a compiled network → the shares of its work that run as asked, in narrower numbers, and pruned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import TypedDict

NARROW = ("float16", "bfloat16", "int8", "uint8")
# Schedules of their own for convolutions that no algorithm runs dense.
OWN = ("depthwise/dense", "grouped/dense")


class LayerAccount(TypedDict):
    """One layer of a compiled network, as `dlas_ops` accounts for it; see `dlas_ops.placement.account.Layer`."""

    name: str
    operator: str
    input: list[int]
    weight: list[int]
    output: list[int]
    asked: str
    ran: str
    reason: str
    dtype: str
    arithmetic: str
    macs: int
    stored_bytes: int
    stride: list[int]
    padding: list[int]
    dilation: list[int]
    groups: int
    measured: dict[str, float]
    program: str
    call: int
    note: str
    nonzeros: int


@dataclass(frozen=True)
class Share:
    """A part of a network: of its multiply-accumulates and of its weights, each from 0 to 1."""

    macs: float
    weights: float


@dataclass(frozen=True)
class Coverage:
    """What of a network's multiply-accumulates and weights the choices of the stack apply to.

    Attributes
    ----------
    macs, weights : of the whole network
    as_asked : in layers that run the algorithm and format that were asked for
    not_as_asked : in layers that fell back
    nothing_asked : in layers for which no algorithm can be asked, such as depthwise and dense ones
    narrowed : in layers whose weights and input are stored in float16, bfloat16 or 8-bit integers
    pruned : in weights that are zero
    """

    macs: int
    weights: int
    as_asked: Share
    not_as_asked: Share
    nothing_asked: Share
    narrowed: Share
    pruned: Share

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values for JSON."""
        return asdict(self)


def coverage_of(layers: Sequence[LayerAccount]) -> Coverage | None:
    """Return what the choices apply to in a network; None for one without an account or without arithmetic."""
    macs, weights = sum(layer["macs"] for layer in layers), sum(map(_weights, layers))
    if not macs:
        return None

    def share(part: Callable[[LayerAccount], float]) -> Share:
        parts = [(part(layer), layer) for layer in layers]
        own = sum(size * _weights(layer) for size, layer in parts)
        return Share(sum(size * layer["macs"] for size, layer in parts) / macs, own / weights if weights else 0.0)

    return Coverage(
        macs,
        weights,
        as_asked=share(lambda layer: can_ask(layer) and not layer["reason"]),
        not_as_asked=share(lambda layer: can_ask(layer) and bool(layer["reason"])),
        nothing_asked=share(lambda layer: not can_ask(layer)),
        narrowed=share(lambda layer: layer["dtype"] in NARROW),
        pruned=share(_zeros),
    )


def can_ask(layer: LayerAccount) -> bool:
    """Return whether an algorithm could be asked for."""
    asked, ran = layer["asked"], layer["ran"]
    # Accounts of earlier versions say of a depthwise layer what was asked for the others.
    return "/" in asked and not (ran in OWN and (asked == ran or asked.endswith("/dense")))


def _weights(layer: LayerAccount) -> int:
    return prod(layer["weight"]) if layer["weight"] else 0


def _zeros(layer: LayerAccount) -> float:
    """Return the share of the weights that are zero; none where an earlier version did not count them."""
    count, nonzeros = _weights(layer), layer.get("nonzeros", 0)
    return 1 - nonzeros / count if count and nonzeros else 0.0
