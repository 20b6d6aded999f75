"""Configurations and a workspace → what is left to execute of them, how long that takes, and what sharing saves."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dlas_ops.processor.usable_cores import core_count
from explorer.core import plugins
from explorer.core.configuration import Configuration, parts
from explorer.engines import local
from explorer.engines.workers import TORCH, TVM
from explorer.line.trials.dry_run import CountingEngine
from explorer.processes import gpus
from explorer.space.space import Space
from explorer.workspace.database.records import Records

# Stage, data set, model and device: what decides most about how long an execution takes.
Kind = tuple[str, str, str, str]
ON_DEVICE = ("select", "tune", "confirm", "measure")  # stages
LONG_SECONDS = 60.0  # of a training that has all cores alone; its pixels decide that, which no plan knows

Means = Mapping[Kind | str, float]  # seconds of an execution, by kind and by stage


@dataclass(frozen=True)
class StagePlan:
    """The executions of one stage.

    Parameters
    ----------
    alone
        How many there would be if every configuration of the plan started with an empty store.
    left
        How many are still to be done if all configurations share a store.
    at_most
        Whether `left` is an upper bound, because only an execution above can tell what there is to do.
    seconds_alone, seconds_left
        What they take by the executions on record; None if there is none of the stage.
    """

    stage: str
    alone: int
    left: int
    at_most: bool
    seconds_alone: float | None
    seconds_left: float | None


@dataclass(frozen=True)
class Plan:
    """The work and the time that bring configurations on record.

    Parameters
    ----------
    configurations, on_record
        How many there are, and how many of them have an outcome.
    stages
        In the order of the line.
    seconds
        Until all are on record, as far as known: computations share this machine's cores, measurements on these cores
        come on top, and those on other machines go on meanwhile.
    unknown
        The stages that are left and were never executed in the workspace, so that no time is known.
    """

    configurations: int
    on_record: int
    stages: tuple[StagePlan, ...]
    seconds: float
    unknown: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """Time that is left as a share of what the configurations left would take, each on its own; None if unknown."""
        known = [each for each in self.stages if each.seconds_alone is not None and each.seconds_left is not None]
        alone = sum(each.seconds_alone or 0.0 for each in known)
        return sum(each.seconds_left or 0.0 for each in known) / alone if alone else None


def plan(
    space: Space, configurations: Iterable[Configuration], records: Records | None, jobs: int | None = None
) -> Plan:
    """Return what is left to execute of `configurations` of `space`.

    Parameters
    ----------
    records
        Of the workspace; None where there is none yet.
    jobs
        How many trainings, and how many compilations, run at once on this machine; None leaves that to its
        cores and GPUs.
    """
    known = records.configurations(space.name) if records else []
    ids = {configuration.id for configuration in known}
    engine = CountingEngine(space.devices)
    for configuration in known:
        engine.count(configuration, space.settings)
    alone, left, places = Counter[Kind](), Counter[Kind](), dict[str, int]()
    total = on_record = 0
    for configuration in configurations:
        total += 1
        if configuration.id in ids:
            on_record += 1
            continue
        engine.asked.clear()
        own, shared = engine.count(configuration, space.settings)
        for place, stage in enumerate(engine.asked):
            places[stage] = max(place, places.get(stage, 0))
        alone.update({_kind(stage, configuration): number for stage, number in own.items()})
        left.update({_kind(stage, configuration): number for stage, number in shared.items()})
    means: Means = _means(records, space.settings.measure.sessions) if records else {}
    stages = tuple(
        StagePlan(
            stage,
            _executions(alone, stage),
            _executions(left, stage),
            stage in engine.at_most,
            _seconds(alone, stage, means),
            _seconds(left, stage, means),
        )
        for stage in sorted(places, key=places.__getitem__)
    )
    unknown = tuple(each.stage for each in stages if each.left and each.seconds_left is None)
    return Plan(total, on_record, stages, _elapsed(space, left, means, jobs), unknown)


def _kind(stage: str, configuration: Configuration) -> Kind:
    """Return the kind of an execution, without a device if the stage runs on none."""
    device = configuration.device if stage in ON_DEVICE else ""
    return stage, configuration.dataset, configuration.model, device


def _means(records: Records, sessions: int) -> Means:
    """Return the mean seconds of an execution by stage and, where configurations on record tell it, by kind.

    A measurement takes `sessions` sessions, and the record has an execution for each.
    """
    seconds: dict[Kind | str, list[float]] = defaultdict(list)
    kinds: dict[tuple[str, str], Kind] = {}
    for configuration, values in records.values():
        for name, key in values.items():
            stage, _, suffix = name.rpartition("_")
            if suffix == "key":
                kinds[stage, key] = _kind(stage, configuration)
    for stage, key, session in records.executions.succeeded():
        own = session * sessions if stage == "measure" else session
        seconds[stage].append(own)
        if (stage, key) in kinds:
            seconds[kinds[stage, key]].append(own)
    return {kind: sum(own) / len(own) for kind, own in seconds.items()}


def _executions(counted: Mapping[Kind, int], stage: str) -> int:
    return sum(number for kind, number in counted.items() if kind[0] == stage)


def _seconds(counted: Mapping[Kind, int], stage: str, means: Means) -> float | None:
    """Return what the counted executions of a stage take, None if no execution of it is on record."""
    if stage not in means:
        return None
    return sum(number * means.get(kind, means[stage]) for kind, number in counted.items() if kind[0] == stage)


def _elapsed(space: Space, left: Mapping[Kind, int], means: Means, jobs: int | None) -> float:
    """Return the seconds until all executions left have ended, without those that no time is known of."""
    by_worker: dict[str, float] = defaultdict(float)
    by_device: dict[str, float] = defaultdict(float)
    cores, visible = core_count(), len(gpus.visible())
    alone = 0.0
    for kind, number in left.items():
        stage, device = kind[0], kind[-1]
        each = means.get(kind, means.get(stage, 0.0))
        worker = plugins.literal("stage", stage, "WORKER")
        if stage in ON_DEVICE:
            by_device[device] += number * each
        elif worker == TORCH and each >= LONG_SECONDS and visible < 2:
            alone += number * each
        else:
            by_worker[worker] += number * each
    share = local.Share.of(jobs, cores, visible)
    computing = alone + max(
        by_worker[TORCH] / share.trainings, by_worker[TVM] / share.compilations, sum(by_worker.values()) / cores
    )
    local_devices = {name for name, device in space.devices.items() if device.is_here}
    here = sum(seconds for names, seconds in by_device.items() if local_devices.intersection(parts(names)))
    return max(computing + here, *by_device.values(), 0.0)
