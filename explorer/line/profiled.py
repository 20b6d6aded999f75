"""Configuration → what each program of its network takes on every device, by two stages behind those of the line."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration
from explorer.core.settings import Settings
from explorer.line import contracts
from explorer.line.engine import Engine
from explorer.line.several_devices import naming
from explorer.line.steps import Steps, faster

Profile = Artifact[contracts.profile.Values]


class Profiling(Engine, Protocol):
    """An engine that also profiles."""

    def profile(self, stage: contracts.profile.Stage, device: str) -> Profile:
        """Return the artifact of a stage that times each program of a network on `device`."""


def profiled(c: Configuration, settings: Settings, engine: Profiling, sessions: int) -> dict[str, Profile]:
    """Return the profile of a stack on each of its devices; see `explorer.line.stages.profile`.

    Raises
    ------
    StageFailed
        If a stage fails.
    """
    found = {}
    for device in c.devices:
        with naming(device, c):
            found[device] = _line(replace(c, device=device), settings, engine, sessions)
    return found


def _line(c: Configuration, settings: Settings, engine: Profiling, sessions: int) -> Profile:
    steps = Steps(c, settings, engine)
    data = steps.data()
    trained = steps.train(data)
    network = steps.quantize(data, steps.compress(data, trained, c.in_float32, settings.compress))
    lowered = steps.lower(network, steps.select(steps.plan(network)))
    tuned = steps.tune(lowered)
    untuned = steps.build(lowered)
    rebuilt = steps.rebuild(lowered, tuned)
    built = faster(untuned, rebuilt, steps.confirm(network, lowered, untuned, rebuilt))
    parameters = contracts.instrument.Parameters(dict(engine.target(c.device)))
    schedules = tuned if built is rebuilt else None
    ticking = engine.run(
        contracts.instrument.Stage(parameters, contracts.instrument.Parents(network, lowered, schedules))
    )
    protocol = settings.measure
    sampling = contracts.profile.Parameters(
        c.threads, protocol.samples, protocol.sample_ms, protocol.warmup_ms, sessions, c.device
    )
    parents = contracts.profile.Parents(network, lowered, built, ticking)
    return engine.profile(contracts.profile.Stage(sampling, parents), c.device)
