"""One layer under tuning: its candidates on record, then those of similar layers, then those that a search proposes."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from math import log2
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import tvm

from dlas_ops.tuning import tuners
from dlas_ops.tuning.task_extraction import Task
from explorer.core.errors import DeviceError, Failure, StageFailed
from explorer.core.measurement import clocks
from explorer.core.measurement.statistics import median_interval
from explorer.line.tuning.allocation import Progress
from explorer.line.tuning.builders import Builders, Library
from explorer.line.tuning.database import Database, Decision, Log, Trial
from explorer.line.tuning.runner import FINAL_ROUNDS, FINAL_SESSIONS, LostError, Program, Runner

T = TypeVar("T")

# Of so many most similar layers, so many of the best schedules each are tried first.
SIMILAR = 3
BEST_OF_SIMILAR = 2

# Times that the device may go away while a candidate is measured, before that is the candidate's fault.
MOST_LOSSES = 2

# So many of the best are measured in turns with the rule-based schedule, which stays unless one is clearly faster.
# The best by the few runs of a search had luck, too, and lie within its noise of each other.
FINALISTS = 6


class Layer:
    """A task, what is on record of it and the search through its schedules.

    Parameters
    ----------
    folder
        For programs and libraries.
    """

    def __init__(
        self, task: Task, tuner: str, target: Any, database: Database, builders: Builders, runner: Runner, folder: Path
    ) -> None:
        self.task, self._name, self._tuner, self._target = task, tuner, tuners.load(tuner), target
        self._database, self._builders, self._runner, self._folder = database, builders, runner, folder
        # A candidate's time depends on where its weights are by then, and so does the choice of the fastest one.
        self._known_as = f"{task.key}-{runner.evicted >> 20}MiB"
        self.log = database.log(tuner, self._known_as, task.description)
        self._search = self._tuner.search(task.function, target, seed=int(task.key, 16) % 2**31)
        self._source = folder / f"{task.key}.json"
        self._source.write_text(tvm.ir.save_json(task.function), encoding="utf-8")
        self._program: Program | None = None
        self.progress = Progress(task.calls, 0.0)

    def begin(self) -> None:
        """Measure the rule-based schedule, unless that is on record, and what was cut off the last time."""
        self._measured([decision for decision in self.log.unfinished() if decision is not None])
        if self.log.rule is None:
            self._measured([None])
        if self.log.rule is not None and self.log.rule.ms is not None:
            self.progress.rule_ms = self.log.rule.ms

    def step(self, count: int) -> list[Trial]:
        """Take the next `count` candidates into account, fewer if there are no more; those on record cost nothing."""
        known = len(self.progress.trials)
        taken = self.log.trials[known : known + count]
        self._learn(taken)
        if len(taken) < count:
            start = clocks.running()
            self._measured(self._fresh(count - len(taken)), start)
            new = self.log.trials[known + len(taken) : known + count]
            self._learn(new)
            taken += new
        self.progress.step(taken)
        self.progress.exhausted = len(taken) < count
        return taken

    def _fresh(self, count: int) -> list[Decision]:
        """Return `count` decisions without a record, fewer if there are no more."""
        found = [] if self.log.trials else self._transferred(count)
        while len(found) < count and (proposed := self._search.propose(count - len(found))):
            found += [decision for decision in proposed if decision not in found]
        return found

    def _learn(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            self._search.learn(trial.decision, None if trial.ms is None else 1e-3 * trial.ms)

    def _transferred(self, count: int) -> list[Decision]:
        """Return the best schedules of the most similar layers on record, fitted to this one."""
        own = self.task.description
        others = self._database.others(self._name, self._known_as)
        ranked = sorted((_distance(own, other), str(path)) for other, path in others if _alike(own, other))
        found: list[Decision] = []
        for _, path in ranked[:SIMILAR]:
            best = sorted(
                (trial for trial in Log(Path(path)).trials if trial.ms is not None), key=lambda t: t.ms or 0.0
            )
            for trial in best[:BEST_OF_SIMILAR]:
                decision = self._tuner.transferred(self.task.function, self._target, trial.decision)
                if decision is not None and decision not in found and len(found) < count:
                    found.append(decision)
        return found

    def finish(self) -> tuple[Decision | None, float, float]:
        """Return the best schedule, None for the rule-based one, and the ms of that one and of the rule-based."""
        right = sorted(
            (trial for trial in self.progress.trials if trial.ms is not None), key=lambda trial: trial.ms or 0.0
        )
        decisions: list[Decision | None] = [None, *(trial.decision for trial in right[:FINALISTS])]
        if len(decisions) == 1:
            return None, self.progress.rule_ms, self.progress.rule_ms
        if self.log.finals(decisions) is None:
            start = clocks.running()
            sessions = self._in_turns(decisions)
            samples = [
                [own if isinstance(own := results[index], list) else [] for results in sessions]
                for index in range(len(decisions))
            ]
            self.log.add_finals(decisions, samples, clocks.running() - start)
        found = self.log.finals(decisions)
        assert found is not None
        return fastest(decisions, found[0])

    @property
    def failures(self) -> Counter[str]:
        """How many candidates failed, by cause."""
        return Counter(trial.failure[0] for trial in self.progress.trials if trial.failure)

    def _measured(self, decisions: Sequence[Decision | None], start: float | None = None) -> None:
        """Build and measure candidates and put them on record; see `Runner.measure` for errors."""
        together = [decision for decision in decisions if not self.log.losses(decision)]
        groups = [together, *([decision] for decision in decisions if self.log.losses(decision))]
        for group in groups:
            self._group(group, start or clocks.running())
            start = None

    def _group(self, group: Sequence[Decision | None], start: float) -> None:
        if not group:
            return
        try:
            results = self._run(group)
        except LostError as lost:
            results = lost.results
        missing = [index for index in range(len(group)) if index not in results]
        if missing:
            self.log.lose([group[index] for index in missing])
            for index in missing:
                if self.log.losses(group[index]) >= MOST_LOSSES:
                    results[index] = ("crash", "the device went away whenever it was measured")
        share = (clocks.running() - start) / len(group)
        self.log.add([_trial(group[index], results[index], share) for index in sorted(results)])
        for index in missing:
            if index not in results:
                self._group([group[index]], clocks.running())

    def _run(self, decisions: Sequence[Decision | None]) -> dict[int, Any]:
        """Return for the index of each decision what it takes or why it has failed."""
        with self._built(decisions) as (program, libraries, errors):
            try:
                return self._runner.measure(program, libraries) | errors
            except LostError as lost:
                lost.results.update(errors)
                raise

    def _in_turns(self, decisions: Sequence[Decision | None]) -> list[dict[int, Any]]:
        """Return likewise what each decision takes in each of some sessions, in turns with the others."""
        with self._built(decisions) as (program, libraries, errors):
            measured = [
                self._kept_up(lambda: self._runner.measure(program, libraries, FINAL_ROUNDS))
                for _ in range(FINAL_SESSIONS)
            ]
        return [results | errors for results in measured]

    @contextlib.contextmanager
    def _built(self, decisions: Sequence[Decision | None]) -> Iterator[tuple[Program, list[Library], dict[int, Any]]]:
        """Give the program, libraries of the decisions, and why some of them have none."""
        if self._program is None:
            self._program = self._prepared()
        libraries, errors = self._builders.build(self._source, decisions, self._folder)
        try:
            yield self._program, libraries, errors
        finally:
            for library in libraries:
                library.path.unlink(missing_ok=True)

    def _prepared(self) -> Program:
        libraries, errors = self._builders.build(self._source, [None], self._folder)
        if errors:
            kind, why = errors[0]
            gone = {"build crash": "crash", "build timeout": "timeout"}.get(kind)  # which tell nothing of the schedule
            message = f"the rule-based schedule cannot be built: {why}"
            raise StageFailed(Failure("tune", gone, message)) if gone else RuntimeError(message)
        return self._kept_up(lambda: self._runner.prepare(self.task, libraries[0]))

    def _kept_up(self, measure: Callable[[], T]) -> T:
        """Return what `measure` does, which is tried again if the device goes away meanwhile.

        Raises
        ------
        DeviceError
            If it always does, though nothing runs that has not run before or is not the rules' own.
        """
        for _ in range(MOST_LOSSES):
            with contextlib.suppress(LostError):
                return measure()
        raise DeviceError(f"the device went away {MOST_LOSSES} times while {self.task.names[0]} was measured")


def fastest(
    decisions: Sequence[Decision | None], samples: Sequence[Sequence[Sequence[float]]]
) -> tuple[Decision | None, float, float]:
    """Return the decision of the least time, its ms and those of the first one, which stays unless it is slower.

    Runs were taken in turns with the first one's, so that what slows the machine for a while does not change their
    ratios; a session's ratio is their median, and a decision's the median of its sessions'.

    Parameters
    ----------
    samples
        For each decision and session the milliseconds of each run. A decision that failed in a session, or was given
        up after a run, is left out of account.
    """
    rule = samples[0]
    rule_ms = median(chain.from_iterable(rule))
    ratios = {
        index: [_ratios(one, other) for one, other in zip(own, rule, strict=True)]
        for index, own in enumerate(samples)
        if all(len(one) == len(other) for one, other in zip(own, rule, strict=True))
    }
    best, index = min((median(map(median, sessions)), index) for index, sessions in ratios.items())
    # Two conditions, since runs of one session share where the session's loads lie in memory: the order must be the
    # same in every session, whatever the others say, and the runs of all of them must tell with 95 % confidence that
    # it is no chance. Three sessions are too few for an interval between them that assumes nothing.
    agreed = all(median(session) < 1 for session in ratios[index])
    if agreed and median_interval([*chain.from_iterable(ratios[index])]).high < 1:
        return decisions[index], best * rule_ms, rule_ms
    return None, rule_ms, rule_ms


def _ratios(one: Sequence[float], other: Sequence[float]) -> list[float]:
    return [own / theirs for own, theirs in zip(one, other, strict=True)]


def _trial(decision: Decision | None, result: Any, seconds: float) -> Trial:
    if isinstance(result, list):
        return Trial(decision, tuple(result), None, seconds)
    return Trial(decision, (), result, seconds)


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two programs have the same schedule and arguments of the same kinds."""
    kinds = [[(len(shape), dtype) for shape, dtype in program["arguments"]] for program in (one, other)]
    return one["schedule"] == other["schedule"] and kinds[0] == kinds[1]


def _distance(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return how much the sizes of two programs' arguments differ, in powers of two."""
    pairs = zip(one["arguments"], other["arguments"], strict=True)
    return sum(abs(log2(a / b)) for (own, _), (theirs, _) in pairs for a, b in zip(own, theirs, strict=True))
