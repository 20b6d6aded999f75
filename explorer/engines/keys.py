"""Stage on a device → the keys of the measurements that it makes, which other networks and studies share."""

from __future__ import annotations

from explorer.line.stage import Stage


def of_candidates(stage: Stage) -> list[dict[str, str]]:
    """Return for every problem of a select stage: candidate → the key under which its latency is on record."""
    planned = stage.parents["plan"].values
    shared = {name: stage.parameters[name] for name in ("target", "threads")}
    shared["evicted_bytes"] = planned["evicted_bytes"]
    return [
        {
            name: Stage("candidates", {"problem": own["problem"], "candidate": name, **shared}, {}).key
            for name in own["candidates"]
        }
        for own in planned["problems"]
    ]


def of_tuning(stage: Stage) -> str:
    """Return the key of all measurements that tune stages make on a device, for any network, tuner and budget."""
    shared = {name: stage.parameters[name] for name in ("target", "threads", "device")}
    return Stage(stage.name, shared, {}).key
