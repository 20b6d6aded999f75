"""Outputs and sessions of a bundle on a device, and what is on record → whether they agree, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from explorer.core.measurement.statistics import Interval


@dataclass(frozen=True)
class Verdict:
    """The answer of a device that a bundle was run on.

    Parameters
    ----------
    device
        Its name.
    emulated
        Whether its entry says that it is none that one can buy.
    relative_error
        How far outputs lay from the expected ones at most, as a share of the largest of those; None where they are not
        even numbers.
    tolerance
        How far they may lie.
    latency, recorded
        In ms with 95 % intervals: on the device now, and of the manifest.
    sessions
        That count now.
    disturbed
        In one sentence, why none of them was quiet; empty if one was.
    load_ms, first_ms
        Medians of what it took to load the library, and of the first run after that.
    """

    device: str
    emulated: bool
    relative_error: float | None
    tolerance: float
    latency: Interval
    recorded: Interval
    sessions: int
    disturbed: str
    load_ms: float
    first_ms: float

    @property
    def agree(self) -> bool:
        """Whether the outputs are the expected ones."""
        return self.relative_error is not None and self.relative_error <= self.tolerance

    @property
    def falls_into(self) -> bool:
        """Whether the latency falls into the recorded interval."""
        return self.recorded.low <= self.latency.value <= self.recorded.high

    @property
    def beyond(self) -> float:
        """How far the latency lies above the interval's upper end, or below its lower end, as a share of that end."""
        end = min(max(self.latency.value, self.recorded.low), self.recorded.high)
        return self.latency.value / end - 1

    @property
    def overlap(self) -> bool:
        """Whether the two intervals overlap: then chance may explain what lies between the medians."""
        return self.latency.low <= self.recorded.high and self.recorded.low <= self.latency.high

    def as_dict(self) -> dict[str, object]:
        """Return all of it as plain values for JSON."""
        own = {name: value for name, value in asdict(self).items() if name not in ("latency", "recorded")}
        for name, interval in (("latency", self.latency), ("recorded", self.recorded)):
            own |= {f"{name}_ms": interval.value, f"{name}_low_ms": interval.low, f"{name}_high_ms": interval.high}
        judged = {"agree": self.agree, "falls_into": self.falls_into, "beyond": self.beyond, "overlap": self.overlap}
        return {**own, **judged}

    def lines(self) -> Iterator[str]:
        """Yield the verdict in sentences."""
        where = f"{self.device} (emulated)" if self.emulated else self.device
        if self.relative_error is None:
            yield f"The outputs on {where} are no numbers."
        else:
            verdict = "agree with" if self.agree else "differ from"
            off = f"they lie at most {self.relative_error:.2g} of their range off, and {self.tolerance:g} is allowed"
            yield f"The outputs on {where} {verdict} the expected ones: {off}."
        yield f"The latency {self._verdict()}: {_ms(self.latency)} now, {_ms(self.recorded)} on record."
        if self.disturbed:
            yield f"None of the {self.sessions} sessions was quiet: {self.disturbed}."
        yield f"Until the library can run: {self.load_ms:.1f} ms; the first run: {self.first_ms:.3f} ms."

    def _verdict(self) -> str:
        if self.falls_into:
            return "falls into the recorded interval"
        side = "above" if self.beyond > 0 else "below"
        within = ", and its own interval reaches into it" if self.overlap else ""
        return f"lies {abs(self.beyond):.1%} {side} the recorded interval{within}"


def _ms(interval: Interval) -> str:
    return f"{interval.value:.3f} ms (95 % interval {interval.low:.3f} to {interval.high:.3f})"
