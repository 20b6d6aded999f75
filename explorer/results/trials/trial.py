"""One trial on record: its row, the account of its compiled network and the log of its failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from explorer.results.measured_on import MeasuredOn
from explorer.results.trials.account import LayerAccount, coverage_of
from explorer.results.trials.ranking import RankedLayer

LAYERS = "layers.json"  # in a build artifact; explorer.line.stages.build, which writes it, imports TVM


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
    ranking
        Of a network that mixes dtypes, its layers in the order to quantize in; empty for any other.
    devices
        That it was measured on.
    """

    row: Mapping[str, object]
    layers: Sequence[LayerAccount]
    log: str
    why: str = ""
    ranking: Sequence[RankedLayer] = ()
    devices: Sequence[MeasuredOn] = ()

    def as_dict(self) -> dict[str, object]:
        """Return all of it as plain values for JSON."""
        covered = coverage_of(self.layers)
        return {
            **self.row, "layers": self.layers, "coverage": covered and covered.as_dict(), "log": self.log,
            "why": self.why, "ranking": list(self.ranking), "devices": [each.as_dict() for each in self.devices],
        }  # fmt: skip
