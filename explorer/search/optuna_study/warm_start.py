"""Earlier studies of a workspace → their complete trials, which the sampler of a new study begins with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from explorer.core.configuration import Configuration
from explorer.core.errors import SpaceError
from explorer.line.trials import several_devices
from explorer.space.optuna_parameters import Parameters
from explorer.space.space import Space
from explorer.workspace.database.records import Record, Records

# The last ones of the studies that began last: a sampler that learns takes longer for each.
MOST_TRIALS = 1000

# A study's name → numbers of its trials.
Chosen = Mapping[str, list[int]]
# Everything that the trials of a study depend on; see `explorer.search.optuna_study.study.question_of`.
Question = Mapping[str, object]


def choose(space: Space, question: Question, studies: Mapping[str, object], records: Records) -> Chosen:
    """Return the trials that say what a stack of `space` reaches: trained, compressed and measured as it would be.

    Parameters
    ----------
    question
        Of the new study.
    studies
        Name → question of every other study; None of one that another program made.
    """
    same = [name for name, other in studies.items() if other and _is_comparable(question, cast(Question, other))]
    found = [(name, number) for name in same for number, _, _ in _within(space, records.complete(name))]
    chosen: dict[str, list[int]] = {}
    for name, number in found[-MOST_TRIALS:]:
        chosen.setdefault(name, []).append(number)
    return chosen


def trials(space: Space, chosen: Chosen, records: Records) -> Iterator[tuple[Configuration, Parameters, Record]]:
    """Yield configuration, parameters in `space` and record of every trial that was chosen for it.

    Those that were measured on a device as it was before it became another one are left out.
    """
    identities = records.sessions.identities() if chosen else {}
    today = {name: known.key for name in space.devices if (known := records.devices.last(name))}
    for name, numbers in chosen.items():
        for _, (configuration, parameters), record in _within(space, records.complete(name, numbers)):
            keys = several_devices.measure_keys(configuration, record)
            places = [(device, identities.get((key, device))) for device, key in keys.items()]
            if all(identity in (None, today.get(device)) for device, identity in places):
                yield configuration, parameters, record


def _is_comparable(question: Question, other: Question) -> bool:
    """Tell whether two studies have the same settings of stages and, where they use the same files, the same content.

    How each is searched, and for what, may differ.
    """
    differ = ("axes", "constraints", "objectives", "rungs")
    return all(value == other.get(key, value) for key, value in question.items() if key not in differ)


def _within(
    space: Space, complete: Iterable[tuple[int, Configuration, Record]]
) -> Iterator[tuple[int, tuple[Configuration, Parameters], Record]]:
    """Yield those trials whose configuration is in `space` and that have all of its objectives."""
    for number, configuration, record in complete:
        if not record.values.keys() >= space.objectives.keys():
            continue
        try:
            parameters = space.distributions(configuration)
        except SpaceError:
            continue
        yield number, (configuration, parameters), record
