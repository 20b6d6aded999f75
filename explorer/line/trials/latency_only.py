"""Configuration → its latency on every device before its fine-tuning, where that does not depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from explorer.core.configuration import Configuration
from explorer.core.errors import DOMINATED, Failure, StageFailed
from explorer.core.settings import Settings
from explorer.line.trials.engine import Engine
from explorer.line.trials.recording import known_of, reached_before
from explorer.line.trials.several_devices import naming, together
from explorer.line.trials.steps import Confirmed, Latency, Steps, faster
from explorer.workspace.database.records import Record


class Known(NamedTuple):
    """The measurements of a stack on a device before its fine-tuning."""

    confirmed: Confirmed | None
    latency: Latency


class Screen(Protocol):
    """Decides whether a stack still needs fine-tuning."""

    def why_not(self, configuration: Configuration, known: Mapping[str, Any]) -> str | None:
        """Return in one sentence why it does not, by all that is `known` but its accuracies; None if it does."""


def measured(c: Configuration, settings: Settings, engine: Engine, screen: Screen) -> dict[str, Known]:
    """Return what is measured on every device of a stack that takes as long without its fine-tuning.

    Of another stack that is nothing.

    Raises
    ------
    StageFailed
        If a stage fails, or the screen says why the stack need not be fine-tuned.
    """
    if (shapes := _shapes(c, settings)) is None:
        return {}
    found, records = {}, {}
    for device in c.devices:
        with naming(device, c):
            found[device], records[device] = _line(replace(c, device=device), shapes, settings, engine)
    if why := screen.why_not(c, (together(records) if len(records) > 1 else records[c.device]).values):
        raise StageFailed(Failure("compress", DOMINATED, f"not trained, since {why}"))
    return found


def _line(c: Configuration, shapes: str, settings: Settings, engine: Engine) -> tuple[Known, Record]:
    """Take a stack down the line, compressed by `shapes` and not fine-tuned; return what is known of it then."""
    steps = Steps(c, settings, engine)
    data = steps.data()
    trained = steps.train(data)
    compressed = steps.compress(data, trained, shapes, settings.compress.model_copy(update={"epochs": 0}))
    network = steps.quantize(data, compressed)
    selected = steps.select(steps.plan(network))
    lowered = steps.lower(network, selected)
    tuned = steps.tune(lowered)
    untuned = steps.build(lowered)
    rebuilt = steps.rebuild(lowered, tuned)
    confirmed = steps.confirm(network, lowered, untuned, rebuilt)
    built = faster(untuned, rebuilt, confirmed)
    latency = steps.measure(network, lowered, built)
    known = known_of(c, compressed, lowered, confirmed, built)
    return Known(confirmed, latency), Record({**reached_before(trained), **known, **latency.values})


def _shapes(c: Configuration, settings: Settings) -> str | None:
    """Return the parts of the compression that decide the latency, if others or fine-tuning are left out for it."""
    if c.format != "dense" or c.in_float32 == "none" or not settings.compress.epochs:
        return None
    return c.in_shapes
