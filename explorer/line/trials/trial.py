"""THE LINE: configuration → data → train → compress → quantize → lower → tune → build → evaluate → measure → Record.

Only int8 is quantized, int8_mixed layer by layer as far as its accuracy allows, see `explorer.line.trials.mixing`.
Before ``lower`` only an algorithm that selects among others plans and selects. Only a stack with a budget is tuned: its
tuned library counts if it is confirmed to be faster than the rule-based one, which is the untuned stack's. Only a
metric of the user's own has its ``score``, behind ``evaluate``. With a screen the latency is measured first, see
`explorer.line.trials.latency_only`.
"""

from __future__ import annotations

from dataclasses import replace

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, StageFailed
from explorer.core.settings import Settings
from explorer.line.trials import latency_only
from explorer.line.trials.engine import Engine
from explorer.line.trials.latency_only import Known, Screen
from explorer.line.trials.mixing import mixed
from explorer.line.trials.recording import record_of
from explorer.line.trials.several_devices import naming, together
from explorer.line.trials.steps import Steps, faster
from explorer.workspace.database.records import Record


def run(c: Configuration, settings: Settings, engine: Engine, screen: Screen | None = None) -> Record | Failure:
    """Take one configuration down the stack; artifacts that the store has are not computed again.

    Parameters
    ----------
    screen
        If given, a stack whose latency does not depend on its fine-tuning is measured before, and fine-tuned unless the
        screen says why not.
    """
    try:
        measured = latency_only.measured(c, settings, engine, screen) if screen else {}
        records = {}
        for device in c.devices:
            with naming(device, c):
                records[device] = _line(replace(c, device=device), settings, engine, measured.get(device))
        return together(records) if len(records) > 1 else records[c.device]
    except StageFailed as failed:
        return failed.failure


def _line(c: Configuration, settings: Settings, engine: Engine, known: Known | None) -> Record:
    """Take a stack on one device down the line; `known` is what was measured of it before, if anything was."""
    steps = Steps(c, settings, engine)
    data = steps.data()
    trained = steps.train(data)
    compressed = steps.compress(data, trained, c.in_float32, settings.compress)
    network, ranked = mixed(steps, data, compressed, steps.quantize(data, compressed))
    planned = steps.plan(network)
    selected = steps.select(planned)
    lowered = steps.lower(network, selected)
    tuned = steps.tune(lowered)
    untuned = steps.build(lowered)
    rebuilt = steps.rebuild(lowered, tuned)
    confirmed = known.confirmed if known else steps.confirm(network, lowered, untuned, rebuilt)
    built = faster(untuned, rebuilt, confirmed)
    evaluated = steps.evaluate(data, compressed, network, selected, lowered, built)
    scored = steps.score(data, evaluated)
    latency = known.latency if known else steps.measure(network, lowered, built)
    judged = (scored, settings.metric, ranked)
    return record_of(c, data, trained, compressed, network, lowered, confirmed, built, evaluated, latency, *judged)
