"""Artifact of a profile → its rows, one for each program that the network calls, with what bounds each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from explorer.core.measurement.sessions import SPREAD, estimate
from explorer.core.measurement.statistics import Interval
from explorer.profiles.rooflines import Bounds, Machine

VERSION = 1  # of the stage whose profiles can be read
PROFILE = "profile.json"  # in the artifact; explorer.line.stages.profile, which writes it, imports TVM
KINDS = {"pack": "conversion", "unpack": "conversion", "cast": "conversion", "reshape": "conversion"}

UNKNOWN = {"size": 0, "nonzeros": 0, "tensor": ""}  # of a layer without weights


@dataclass(frozen=True)
class Row:
    """One call of a tensor program in a network.

    Parameters
    ----------
    name
        The layer's; of several that the program runs, all of them, and of a program that runs none, its own name.
    operator
        The layer's, ``conversion`` between layouts or dtypes, or ``other``.
    input, weight, output
        Shapes as in the network; of a program that runs no layer, `output` is its result's.
    tensor
        What the layer computes, by its name in the ONNX network; empty for a layer without weights.
    asked, ran, reason, dtype, arithmetic, groups
        As the account of layers has them; empty where there is no layer.
    macs, computed_macs
        Multiply-accumulates of one run, zeros counted, and those that the kernel does; see `computed`.
    weights, nonzeros
        Numbers of the layer's weights in the network.
    weight_bytes, activation_bytes
        Of the constants that the program reads, and of all else that it reads and writes.
    us
        Microseconds, with the 95 % interval that another session would find it in.
    share
        Of the network's latency.
    bounds
        The least time that the device needs for it, by what.
    """

    name: str
    operator: str
    program: str
    input: tuple[int, ...]
    weight: tuple[int, ...]
    output: tuple[int, ...]
    tensor: str
    asked: str
    ran: str
    reason: str
    dtype: str
    arithmetic: str
    groups: int
    macs: int
    computed_macs: float
    weights: int
    nonzeros: int
    weight_bytes: int
    activation_bytes: int
    us: Interval
    share: float
    bounds: Bounds

    @property
    def gflop_s(self) -> float | None:
        """Multiplications and additions of a direct convolution, in 1e9 per second; None without any."""
        return 2 * self.macs / (1e3 * self.us.value) if self.macs else None

    @property
    def roofline(self) -> float:
        """Share of the time that the device needs at least."""
        return min(1.0, self.bounds.least_us / self.us.value)

    def as_dict(self) -> dict[str, object]:
        """Return all of it as plain values for JSON."""
        own = asdict(self)
        del own["us"], own["bounds"]
        shapes = {name: list(own[name]) for name in ("input", "weight", "output")}
        interval = {"us": self.us.value, "us_low": self.us.low, "us_high": self.us.high}
        derived = {
            "gflop_s": self.gflop_s,
            "roofline": self.roofline,
            "bound_by": self.bounds.by(self.us.value),
            **{f"{name}_us": value for name, value in self.bounds._asdict().items()},
        }
        return {**own, **shapes, **interval, **derived}


@dataclass(frozen=True)
class Profile:
    """The times of a network's programs on a device.

    Parameters
    ----------
    network_ms
        The network's latency in the same sessions, without the notes of times.
    layers_ms
        The sum of all rows.
    sessions, disturbed
        How many count, and in one sentence what disturbed them where none was quiet; empty otherwise.
    """

    device: str
    threads: int
    machine: Machine
    network_ms: Interval
    layers_ms: Interval
    sessions: int
    disturbed: str
    rows: tuple[Row, ...]

    @property
    def rest_ms(self) -> float:
        """The network's time outside its programs: the call itself and the check of the input."""
        return self.network_ms.value - self.layers_ms.value

    def as_dict(self) -> dict[str, object]:
        """Return all of it as plain values for JSON."""
        return {
            "device": self.device,
            "threads": self.threads,
            **self.machine._asdict(),
            **_columns("network", self.network_ms),
            **_columns("layers", self.layers_ms),
            "rest_ms": self.rest_ms,
            "sessions": self.sessions,
            "disturbed": self.disturbed,
            "rows": [row.as_dict() for row in self.rows],
        }


def computed(macs: int, ran: str, weights: int, nonzeros: int, stored_bytes: int) -> float:
    """Return the multiply-accumulates that a kernel does: csr leaves out those of zeros, and Winograd transforms.

    Winograd multiplies 36 numbers for 4 x 4 outputs of a 3 x 3 kernel instead of 144, and stores 36 for each 9 weights;
    on smaller tiles it is 16 for 2 x 2 outputs instead of 36.
    """
    if not weights:
        return macs
    if ran.startswith("winograd"):
        return macs * (36 / 144 if stored_bytes > 2.9 * 4 * weights else 16 / 36)
    return macs * nonzeros / weights if ran.endswith("/csr") else macs


def load(folder: Path, device: str) -> Profile | None:
    """Return the profile that the stage has written into the folder of its artifact; None if by another version."""
    written = json.loads((folder / PROFILE).read_text())
    return of(written, device) if written.get("version") == VERSION else None


def of(written: Mapping[str, Any], device: str) -> Profile:
    """Return the profile of what the stage has written; see `explorer.line.stages.profile`."""
    sessions = written["sessions"]
    quiet = [each for each in sessions if not each["disturbed"]]
    counting = quiet or sessions
    machine = Machine.of(written, counting)
    whole = _estimated([_medians(each, [[sample] for sample in each["network_ms"]])[0] for each in counting])
    sums = [_medians(each, [[sum(calls) / 1e3] for calls in each["calls_us"]])[0] for each in counting]
    by_call = [_medians(each, each["calls_us"]) for each in counting]
    times = [_estimated([session[index] for session in by_call]) for index in range(len(written["calls"]))]
    return Profile(
        device=device,
        threads=written["threads"],
        machine=machine,
        network_ms=whole,
        layers_ms=_estimated(sums),
        sessions=len(counting),
        disturbed="" if quiet else sessions[-1]["disturbed"],
        rows=tuple(
            _row(call, time, written, machine, 1e3 * whole.value)
            for call, time in zip(written["calls"], times, strict=True)
        ),
    )


def _medians(session: Mapping[str, Any], samples: Sequence[Sequence[float]]) -> list[float]:
    """Return the median of each column over the session's quiet samples."""
    counting = [samples[index] for index in session["quiet"]] or samples
    return [median(column) for column in zip(*counting, strict=True)]


def _estimated(medians: Sequence[float]) -> Interval:
    # A clock's grain is 1 ns or more; a program that takes none has taken less than that.
    return estimate([max(each, 1e-3) for each in medians], SPREAD)


def _row(call: Mapping[str, Any], us: Interval, written: Mapping[str, Any], machine: Machine, network_us: float) -> Row:
    own = [layer for layer in written["layers"] if layer["name"] in call["layers"]]
    first: Mapping[str, Any] = own[0] if own else {}
    counts = [written["weights"].get(layer["name"], UNKNOWN) for layer in own]
    macs, ran = sum(layer["macs"] for layer in own), first.get("ran", "")
    weights, nonzeros = (sum(count[name] for count in counts) for name in ("size", "nonzeros"))
    arithmetic = first.get("arithmetic", "")
    done = computed(macs, ran, weights, nonzeros, sum(layer["stored_bytes"] for layer in own))
    stem = call["program"].removeprefix("fused_").split("_")[0].rstrip("0123456789")
    return Row(
        name="+".join(layer["name"] for layer in own) or call["program"],
        operator=first.get("operator") or KINDS.get(stem, "other"),
        program=call["program"],
        input=tuple(first.get("input", ())),
        weight=tuple(first.get("weight", ())),
        output=tuple(first.get("output", call["output"])),
        tensor=counts[0]["tensor"] if counts else "",
        asked=first.get("asked", ""),
        ran=ran,
        reason=first.get("reason", ""),
        dtype=first.get("dtype", ""),
        arithmetic=arithmetic,
        groups=first.get("groups", 1),
        macs=macs,
        computed_macs=done,
        weights=weights,
        nonzeros=nonzeros,
        weight_bytes=call["weight_bytes"],
        activation_bytes=call["activation_bytes"],
        us=us,
        share=us.value / network_us,
        bounds=machine.bounds(done, arithmetic, call["weight_bytes"]),
    )


def _columns(name: str, interval: Interval) -> dict[str, float]:
    return {f"{name}_ms": interval.value, f"{name}_low_ms": interval.low, f"{name}_high_ms": interval.high}
