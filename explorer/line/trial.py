"""THE LINE: configuration → data → train → compress → quantize → lower → tune → build → evaluate → measure → Record.

Only int8 is quantized, only a stack with a budget is tuned, and before ``lower`` only an algorithm that selects among
others plans and selects. With a screen the latency is measured first, see `explorer.line.latency_only`.
"""

from __future__ import annotations

from dataclasses import replace

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, StageFailed
from explorer.core.settings import Settings
from explorer.line import latency_only
from explorer.line.engine import Engine
from explorer.line.latency_only import Screen
from explorer.line.several_devices import naming, together
from explorer.line.steps import Latency, Steps, record_of
from explorer.workspace.records import Record


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


def _line(c: Configuration, settings: Settings, engine: Engine, known: Latency | None) -> Record:
    """Take a stack on one device down the line; `known` is its latency, if that was measured before."""
    steps = Steps(c, settings, engine)
    data = steps.data()
    trained = steps.train(data)
    compressed = steps.compress(data, trained, c.in_float32, settings.compress)
    network = steps.quantize(data, compressed)
    planned = steps.plan(network)
    selected = steps.select(planned)
    lowered = steps.lower(network, selected)
    tuned = steps.tune(lowered)
    built = steps.build(lowered, tuned)
    evaluated = steps.evaluate(data, compressed, network, selected, lowered, built)
    latency = known or steps.measure(network, lowered, built)
    return record_of(c, data, trained, compressed, lowered, built, evaluated, latency)
