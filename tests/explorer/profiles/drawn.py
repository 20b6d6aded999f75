"""What stage ``profile`` writes, made up: layers and their times, in one session or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from explorer.profiles.profile import Profile, of

MACHINE = {"lanes": 16, "dot": "vpdpbusd", "dot_values": 4, "half": False}
GFLOP_S, GB_S, WAKE_US = 200.0, 100.0, 1.0


def layer(
    name: str,
    us: float,
    *,
    macs: int = 10**7,
    weights: int = 10**4,
    nonzeros: int | None = None,
    weight: Sequence[int] = (64, 64, 3, 3),
    ran: str = "direct/dense",
    stored_bytes: int | None = None,
    **fields: Any,
) -> dict[str, Any]:
    """Return a layer with what it takes, for `written`."""
    stored = 4 * weights if stored_bytes is None else stored_bytes
    account = {
        "name": name, "operator": "conv2d", "input": [1, 64, 8, 8], "weight": list(weight), "output": [1, 64, 8, 8],
        "asked": ran, "ran": ran, "reason": "", "dtype": "float32", "arithmetic": "float32", "macs": macs,
        "stored_bytes": stored, "groups": 1, **fields,
    }  # fmt: skip
    counts = {"size": weights, "nonzeros": weights if nonzeros is None else nonzeros, "tensor": f"{name}:0"}
    return {"us": us, "account": account, "counts": counts, "program": f"fused_conv2d_{name}"}


def conversion(us: float, program: str = "pack") -> dict[str, Any]:
    """Return a program that runs no layer."""
    return {"us": us, "account": None, "counts": None, "program": program}


def written(
    *programs: Mapping[str, Any], rest_us: float = 2.0, sessions: int = 3, machine: Mapping[str, Any] = MACHINE
) -> dict[str, Any]:
    """Return what the stage has written of a network of these programs."""
    times = [program["us"] for program in programs]
    whole = (sum(times) + rest_us) / 1e3
    session = {
        "network_ms": [whole] * 3, "ticking_ms": [whole] * 3, "calls_us": [times] * 3, "quiet": [0, 1, 2],
        "gflop_s": GFLOP_S, "gb_s": GB_S, "wake_us": WAKE_US, "disturbed": "",
    }  # fmt: skip
    accounts = [program["account"] for program in programs if program["account"]]
    return {
        "calls": [
            {
                "program": program["program"],
                "layers": [program["account"]["name"]] if program["account"] else [],
                "weight_bytes": program["account"]["stored_bytes"] if program["account"] else 0,
                "activation_bytes": 32768,
                "output": [1, 4, 8, 8, 16],
            }
            for program in programs
        ],
        "weights": {program["account"]["name"]: program["counts"] for program in programs if program["account"]},
        "layers": accounts,
        "processor": dict(machine),
        "threads": 2,
        "sessions": [dict(session) for _ in range(sessions)],
    }


def profile(*programs: Mapping[str, Any], **options: Any) -> Profile:
    return of(written(*programs, **options), "local")
