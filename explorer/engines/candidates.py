"""The candidates of a select stage ↔ their latencies on a device, which are on record for every network and study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from explorer.line import contracts
from explorer.workspace.database.records import Records


def known(stage: contracts.select.Stage, device: str, records: Records) -> list[dict[str, float]]:
    """Return for each problem candidate → milliseconds, or nothing unless all its candidates are on record."""
    return [_costs(keys, device, records) for keys in contracts.select.latency_keys(stage)]


def missing(stage: contracts.select.Stage, device: str, records: Records) -> contracts.candidates.Stage | None:
    """Return the stage that builds the candidates which have to be measured, or None if there are none."""
    both = zip(stage.parents.plan.values["problems"], known(stage, device, records), strict=True)
    problems = [own["problem"] for own, costs in both if not costs]
    if not problems:
        return None
    parameters = contracts.candidates.Parameters(problems, stage.parameters.target)
    return contracts.candidates.Stage(parameters, contracts.candidates.Parents())


def record(
    stage: contracts.select.Stage,
    device: str,
    records: Records,
    samples: Sequence[Mapping[str, list[float]]],
    details: Mapping[str, object],
) -> None:
    """Put the `samples` of each problem, candidate → milliseconds, on record; `details` as in `Measurements.add`."""
    for keys, measured in zip(contracts.select.latency_keys(stage), samples, strict=True):
        for name, times in measured.items():
            records.measurements.add(keys[name], device, times, details)


def _costs(keys: Mapping[str, str], device: str, records: Records) -> dict[str, float]:
    found = {name: records.measurements.median(key, device) for name, key in keys.items()}
    known = {name: milliseconds for name, milliseconds in found.items() if milliseconds is not None}
    return known if len(known) == len(keys) else {}
