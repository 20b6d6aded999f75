"""The trials of a study → which device each was measured on, where one name has stood for several."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from explorer.line.trials.several_devices import measure_keys
from explorer.workspace.database.records import Records

UNKNOWN = "not on record"


@dataclass(frozen=True)
class MeasuredOn:
    """A device as it was when some trials of a study were measured on it.

    Parameters
    ----------
    device
        Its name.
    identity
        What it was, in a few words.
    trials
        The trials' numbers.
    latest
        Whether it is what answered last under its name.
    differences
        What is another than in the one that answered last; "" for that one, and where this is not on record.
    """

    device: str
    identity: str
    trials: Sequence[int]
    latest: bool
    differences: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return asdict(self)


def measured_on(study: str, records: Records, numbers: Sequence[int] | None = None) -> list[MeasuredOn]:
    """Return the devices that complete trials of a study were measured on, each with its trials, by their names.

    Parameters
    ----------
    numbers
        The trials that it is about; all of the study unless given.
    """
    identities, trials = records.sessions.identities(), defaultdict[tuple[str, str], list[int]](list)
    for number, configuration, record in records.complete(study, numbers):
        for device, key in measure_keys(configuration, record).items():
            if (key, device) in identities:
                trials[device, identities[key, device]].append(number)
    return [_measured_on(records, *place, own) for place, own in sorted(trials.items())]


def _measured_on(records: Records, device: str, key: str, trials: Sequence[int]) -> MeasuredOn:
    identity, last = records.devices.of(device, key), records.devices.last(device)
    if identity is None or last is None:
        return MeasuredOn(device, UNKNOWN, trials, latest=last is None)
    return MeasuredOn(device, str(identity), trials, identity.key == last.key, identity.differences(last))


def warnings(found: Sequence[MeasuredOn]) -> list[str]:
    """Return a sentence for every device whose trials were measured while its name stood for another one."""
    by_name: Mapping[str, list[MeasuredOn]] = defaultdict(list)
    for each in found:
        if not each.latest:
            by_name[each.device].append(each)
    return [
        f"{_trials(sum(len(each.trials) for each in earlier))} measured while '{device}' was another device than the "
        f"last that answered ({earlier[0].differences or f'which one is {UNKNOWN}'}); latencies of the two do not "
        "compare, and the study's next run that asks the device measures them anew"
        for device, earlier in by_name.items()
    ]


def _trials(count: int) -> str:
    return "1 trial was" if count == 1 else f"{count} trials were"
