"""Complete trials of a study → more sessions of their measurements where they matter, and what they tell on record.

A trial ends with one session. When all have ended, every stack gets its second one: it lies apart in time from the
first, and between the two those of all others do. The rest of the time goes to stacks that may or may not be on the
front of their device, and then to those whose interval is wide, a session each in turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from explorer.core.configuration import Configuration
from explorer.core.errors import ExplorerError, Failure
from explorer.core.measurement import clocks
from explorer.core.measurement.quantities import LATENCY
from explorer.core.measurement.sessions import DISTURBED, Estimate
from explorer.core.settings import MeasureSettings
from explorer.engines.context import Observer
from explorer.engines.engine import Engine
from explorer.fronts.certainty import front_probabilities
from explorer.line import contracts
from explorer.line.trials import several_devices, trial
from explorer.search.jobs import Known, Lacking
from explorer.search.latency_first import Everything
from explorer.space.space import Space
from explorer.workspace.database.records import Record, Records

# A session that was disturbed is repeated at most so often; then the latency is on record as a disturbed one.
REPEATS = 3
# Seconds that sessions may wait for a quiet device in all, however short the run was: virtual cores stay apart for half
# a minute. Without extra time none waits.
LEAST_PATIENCE = 10.0
SESSION_SECONDS = 1.0
ROUND = "sessions"  # the name under which an observer hears of a session for each of some stacks
OPEN = 0.05, 0.95  # probabilities of being on the front between which it is open
WIDE = 0.04  # a 95 % interval above this share of the latency is narrowed if there is time


def lacks_sessions(space: Space, records: Records) -> bool:
    """Tell whether a run ended before every stack of the study had the sessions that each gets."""
    latencies, protocol = records.sessions.latencies(), space.settings.measure
    stacks = records.complete(space.name)
    return any(_lacks(known, protocol) for _, c, record in stacks for known in _known(c, record, latencies))


def revise(space: Space, records: Records) -> None:
    """Put on record what all sessions tell of every stack of a study; those of other stacks tell of the device, too."""
    latencies = records.sessions.latencies()
    for number, configuration, record in records.complete(space.name):
        known = several_devices.revised(configuration, record, latencies)
        if known.values != record.values:
            records.revise(space.name, number, known)


def refine(space: Space, records: Records, engine: Engine, observer: Observer, seconds: float) -> None:
    """Add sessions to the complete trials of a study whose trials have taken `seconds`."""
    Refinement(space, records, engine, observer).run(seconds * space.settings.measure.extra_time)
    values = {number: record.values for number, _, record in records.complete(space.name)}
    disturbed = {number: own[DISTURBED] for number, own in values.items() if DISTURBED in own}
    for number, why in list(disturbed.items())[:1]:
        told = f"{len(disturbed)} of {len(values)} latencies come from disturbed sessions alone; in trial {number}, "
        observer.note(f"{told}{why}; dlas measure adds sessions")


def add_sessions(
    space: Space, records: Records, engine: Engine, observer: Observer, numbers: Sequence[int], count: int
) -> None:
    """Add `count` sessions to each of the trials of these `numbers`, in turns.

    Raises
    ------
    ExplorerError
        If one of them cannot be measured again.
    """
    refinement = Refinement(space, records, engine, observer)
    for failed in refinement.add(numbers, count):
        raise ExplorerError(f"trial {failed.number} cannot be measured again: {failed.failure}")


@dataclass
class _Stack:
    """A complete trial, and why it cannot be measured again; empty if it can."""

    number: int
    configuration: Configuration
    record: Record
    failure: str = ""

    @property
    def width(self) -> float:
        """Width of the latency's interval, as a share of it."""
        interval = LATENCY.interval(self.record.values)
        return (interval.high - interval.low) / interval.value


class Again(Known):
    """An engine that executes nothing but a new session of each measurement that it is asked for."""

    patience = 0.0  # seconds for which a session may still wait for a quiet device
    waited = 0.0  # seconds for which sessions have waited

    def measure(self, stage: contracts.measure.Stage, device: str) -> Estimate:
        """Add a session; return the latency that all sessions tell."""
        start = clocks.running()
        known = self._engine.measure_again(stage, device, self.patience)
        # A session itself takes little beside the time for which a device is disturbed.
        waited = min(self.patience, max(0.0, clocks.running() - start - SESSION_SECONDS))
        self.patience, self.waited = self.patience - waited, self.waited + waited
        return known


class Refinement:
    """Adds sessions to the complete trials of a study."""

    def __init__(self, space: Space, records: Records, engine: Engine, observer: Observer) -> None:
        self._space, self._records, self._observer = space, records, observer
        self._again = Again(engine)
        self._screen = Everything() if space.search.latency_first else None
        self._stacks = [_Stack(*each) for each in records.complete(space.name)]

    def run(self, seconds: float) -> None:
        """Give every stack its sessions, and then others; waiting and these take at most so many `seconds`."""
        self._again.patience = max(seconds, LEAST_PATIENCE) if seconds else 0.0
        while due := self._due():
            self._measure(due)
        end = clocks.running() + seconds - self._again.waited
        self.revise()
        while clocks.running() < end and (chosen := self._open() or self._wide()):
            self._measure(chosen, end)
            self.revise()

    def add(self, numbers: Sequence[int], count: int) -> list[_Stack]:
        """Add `count` sessions to each of the trials of these numbers, in turns; return those that failed."""
        chosen = [each for each in self._stacks if each.number in numbers]
        for _ in range(count):
            self._measure([each for each in chosen if not each.failure])
        self.revise()
        return [each for each in chosen if each.failure]

    def revise(self) -> None:
        """Put on record what all sessions tell of every stack."""
        revise(self._space, self._records)
        records = {number: record for number, _, record in self._records.complete(self._space.name)}
        for each in self._stacks:
            each.record = records[each.number]

    def _measure(self, stacks: Sequence[_Stack], end: float | None = None) -> None:
        """Add a session to each of `stacks` on every device of it, until the time `end`.

        Stacks that share a measurement, as a tuned one may with the untuned, get one session together.
        """
        stacks = list({frozenset(self._keys(each).items()): each for each in stacks}.values())
        self._observer.started(ROUND, ROUND)
        for done, each in enumerate(stacks):
            if end is not None and clocks.running() >= end:
                break
            self._observer.advanced(ROUND, done, len(stacks), f"{done} of {len(stacks)} stacks measured again")
            try:
                outcome = trial.run(each.configuration, self._space.settings, self._again, self._screen)
            except Lacking as lacking:  # it stays as it is
                each.failure = f"its stage {lacking.job.stage} is not in the workspace, or is another one today"
                continue
            if isinstance(outcome, Failure):
                each.failure = outcome.message
            elif several_devices.measure_keys(each.configuration, outcome) != self._keys(each):
                each.failure = "its library, protocol or device is another one today"
        self._observer.finished(ROUND)

    @staticmethod
    def _keys(stack: _Stack) -> dict[str, str]:
        return several_devices.measure_keys(stack.configuration, stack.record)

    def _due(self) -> list[_Stack]:
        """Return the stacks that have fewer sessions than every stack gets."""
        latencies, protocol = self._records.sessions.latencies(), self._space.settings.measure
        return [
            each
            for each in self._stacks
            if not each.failure
            and any(_lacks(known, protocol) for known in _known(each.configuration, each.record, latencies))
        ]

    def _open(self) -> list[_Stack]:
        """Return the stacks that may or may not be on the front of their device, and their rivals.

        A rival may be on the front, too, and its latency cannot be told apart from that of an open stack.
        """
        frame = self._records.frame(self._space.name)
        complete = frame[frame["state"] == "complete"]
        chances = front_probabilities(complete, self._space.objectives, self._space.limits)
        low, high = OPEN
        near = complete[chances > low]
        is_open = chances[near.index] < high
        chosen = set()
        for _, rows in near.groupby("device"):
            latencies = rows[list(LATENCY.columns[1:])].to_numpy(dtype=float)
            for least, most in latencies[is_open[rows.index]]:
                overlaps = (latencies[:, 0] <= most) & (least <= latencies[:, 1])
                chosen |= set(rows["number"][overlaps])
        return [each for each in self._more() if each.number in chosen]

    def _wide(self) -> list[_Stack]:
        """Return the stacks with wide intervals, the widest first."""
        wide = [each for each in self._more() if each.width > WIDE]
        return sorted(wide, key=lambda each: each.width, reverse=True)

    def _more(self) -> list[_Stack]:
        """Return the stacks that may get another session."""
        latencies, most = self._records.sessions.latencies(), self._space.settings.measure.most_sessions

        def taken(stack: _Stack) -> int:
            return max((known.taken for known in _known(stack.configuration, stack.record, latencies)), default=0)

        return [each for each in self._stacks if not each.failure and 0 < taken(each) < most]


Latencies = Mapping[tuple[str, str], Estimate]  # by the key of the measurements and the device


def _known(configuration: Configuration, record: Record, latencies: Latencies) -> list[Estimate]:
    """Return the latencies of a stack on its devices, without those that an earlier protocol has measured."""
    keys = several_devices.measure_keys(configuration, record)
    return [latencies[key, device] for device, key in keys.items() if (key, device) in latencies]


def _lacks(known: Estimate, protocol: MeasureSettings) -> bool:
    """Tell whether a latency has fewer quiet sessions than every stack gets, and may get another one."""
    most = min(protocol.sessions + REPEATS, protocol.most_sessions)
    return known.quiet < protocol.sessions and known.taken < most
