"""Complete trials whose devices are others today → the same stacks measured there anew, in place of what was on record.

A device is another one once its entry has another target or other cores, or once it says that it is something else: a
virtual machine that has moved to another processor, another board under the name of the first. All that was measured
stays on record under the device that it was measured on, and what is measured on today's device is not measured again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from explorer.core.configuration import Configuration
from explorer.core.errors import Failure
from explorer.core.identity import CORES, TARGET, Identity
from explorer.engines.context import Observer
from explorer.engines.engine import Engine
from explorer.line.trials import several_devices, trial
from explorer.search.latency_first import Everything
from explorer.space.devices import Device
from explorer.space.space import Space
from explorer.workspace.database.records import Record, Records

RENEWAL = "renewal"  # the name under which an observer hears of it


class Measured(NamedTuple):
    """A complete trial, and the identity of each of its devices; "" where that is not on record."""

    number: int
    configuration: Configuration
    identities: Mapping[str, str]


def edited(space: Space, records: Records) -> bool:
    """Tell whether a trial was measured on a device whose entry has another target or other cores now.

    Only the device itself can say more: it is asked where there is something else to do.
    """
    pairs = {pair for each in _measured(space, records) for pair in each.identities.items()}
    known = [(space.devices[device], records.devices.of(device, identity)) for device, identity in pairs]
    return any(identity is not None and _is_edited(entry, identity) for entry, identity in known)


def identities(space: Space, records: Records) -> dict[str, str | None]:
    """Return for each device of a space the key of the identity under which it has answered last; None if never."""
    last = {name: records.devices.last(name) for name in space.devices}
    return {name: identity.key if identity else None for name, identity in last.items()}


def renew(
    space: Space, records: Records, engine: Engine, observer: Observer, numbers: Sequence[int] | None = None
) -> int:
    """Measure those trials anew whose devices are others today; return how many are on record with today's latencies.

    Parameters
    ----------
    numbers
        The trials that it is about; all of the study unless given.
    """
    due = [each for each in _measured(space, records, numbers) if _is_of_another(each, engine.identity)]
    if not due:
        return 0
    observer.note(
        f"{_trials(due)} on {_devices(due, engine.identity)} as it was before; measuring "
        f"{'it' if len(due) == 1 else 'them'} on the device of today"
    )
    observer.started(RENEWAL, RENEWAL)
    screen, failures, done = Everything() if space.search.latency_first else None, list[tuple[int, Failure]](), 0
    with ThreadPoolExecutor(max_workers=engine.concurrency) as executor:
        try:
            outcomes = executor.map(lambda each: trial.run(each.configuration, space.settings, engine, screen), due)
            for number, (each, outcome) in enumerate(zip(due, outcomes, strict=True), 1):
                if isinstance(outcome, Record):
                    records.revise(space.name, each.number, outcome)
                    done += 1
                else:
                    failures.append((each.number, outcome))
                observer.advanced(RENEWAL, number, len(due), f"{number} of {len(due)} trials measured anew")
        except BaseException:
            engine.stop()  # threads that wait for a worker see it die, and end
            executor.shutdown(cancel_futures=True)
            raise
    observer.finished(RENEWAL)
    for number, failure in failures[:1]:
        observer.note(
            f"{len(failures)} of these trials keep the latencies of the earlier device; trial {number} failed at "
            f"stage {failure.stage}: {failure.message}"
        )
    return done


def _measured(space: Space, records: Records, numbers: Sequence[int] | None = None) -> list[Measured]:
    """Return the complete trials whose measurements are on record."""
    identities = records.sessions.identities()
    found = []
    for number, configuration, record in records.complete(space.name, numbers):
        keys = several_devices.measure_keys(configuration, record)
        own = {device: identities[key, device] for device, key in keys.items() if (key, device) in identities}
        if own:
            found.append(Measured(number, configuration, own))
    return found


def _is_of_another(measured: Measured, today: Callable[[str], str]) -> bool:
    return any(identity != today(device) for device, identity in measured.identities.items())


def _is_edited(entry: Device, known: Identity) -> bool:
    """Tell whether the entry of a device claims something else than when it was measured on; it may claim less."""
    target = entry.target if isinstance(entry.target, dict) else {}
    cores: Any = list(entry.cores or ()) if entry.is_loopback and not entry.is_gpu else []
    known_target = known.facts.get(TARGET, {})
    return known.facts.get(CORES, []) != cores or any(known_target.get(name) != value for name, value in target.items())


def _trials(due: Sequence[Measured]) -> str:
    return f"trial {due[0].number} was measured" if len(due) == 1 else f"{len(due)} trials were measured"


def _devices(due: Sequence[Measured], today: Callable[[str], str]) -> str:
    found = {name for each in due for name, identity in each.identities.items() if identity != today(name)}
    return " and ".join(f"'{name}'" for name in sorted(found))
