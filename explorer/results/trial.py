"""One trial on record: its row, the account of its compiled network and the log of its failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

LAYERS = "layers.json"  # in a build artifact; explorer.line.stages.build, which writes it, imports TVM


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


@dataclass(frozen=True)
class Trial:
    """One finished trial.

    Parameters
    ----------
    row
        Column → plain value, as in a study's frame; None for a gap.
    layers
        The account of its compiled network; empty for a trial that failed, and where the artifact is gone.
    log
        The text that the failed stage left behind; "" for a complete trial.
    why
        In one sentence how its latency compares with that of the same stack uncompressed; "" where nothing tells.
    """

    row: Mapping[str, object]
    layers: Sequence[LayerAccount]
    log: str
    why: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return all of it as plain values for JSON."""
        return {**self.row, "layers": self.layers, "log": self.log, "why": self.why}
