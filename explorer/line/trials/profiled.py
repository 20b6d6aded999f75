"""Configuration → what each program of its network takes on every device, by two stages behind those of the line."""

from __future__ import annotations

from dataclasses import replace

from explorer.core.configuration import Configuration
from explorer.core.settings import Settings
from explorer.line.trials.engine import Engine
from explorer.line.trials.mixing import mixed
from explorer.line.trials.several_devices import naming
from explorer.line.trials.steps import Profile, Steps, faster


def profiled(c: Configuration, settings: Settings, engine: Engine, sessions: int) -> dict[str, Profile]:
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


def _line(c: Configuration, settings: Settings, engine: Engine, sessions: int) -> Profile:
    steps = Steps(c, settings, engine)
    data = steps.data()
    trained = steps.train(data)
    compressed = steps.compress(data, trained, c.in_float32, settings.compress)
    network, _ = mixed(steps, data, compressed, steps.quantize(data, compressed))
    lowered = steps.lower(network, steps.select(steps.plan(network)))
    tuned = steps.tune(lowered)
    untuned = steps.build(lowered)
    rebuilt = steps.rebuild(lowered, tuned)
    built = faster(untuned, rebuilt, steps.confirm(network, lowered, untuned, rebuilt))
    return steps.profile(network, lowered, built, tuned if built is rebuilt else None, sessions)
