"""Frames of finished trials, as the records give them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from explorer.core.configuration import Configuration
from explorer.workspace.database.records import Record


def complete(number: int, accuracy: float, latency_ms: float, size_bytes: int = 1000, **axes: Any) -> dict[str, Any]:
    configuration = Configuration(**{"dataset": "digits", "model": "resnet18", **axes})
    return {
        "number": number,
        "state": "complete",
        **configuration.as_dict(),
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.02,
        "accuracy_high": accuracy + 0.004,
        "test_accuracy": accuracy - 0.01,
        "test_images": 450,
        "latency_ms": latency_ms,
        "latency_low_ms": latency_ms * 0.98,
        "latency_high_ms": latency_ms * 1.05,
        "size_bytes": size_bytes,
        "convolutions_as_asked": 20,
        "convolutions": 21,
        "failed_stage": None,
        "failure_kind": None,
        "failure": None,
        "configuration_id": configuration.id,
        "seconds": 1.5,
    }


def failed(number: int, stage: str = "measure", kind: str = "crash", **axes: Any) -> dict[str, Any]:
    configuration = Configuration(**{"dataset": "digits", "model": "resnet18", **axes})
    return {
        "number": number,
        "state": "failed",
        **configuration.as_dict(),
        "failed_stage": stage,
        "failure_kind": kind,
        "failure": f"the worker of trial {number} ended",
        "configuration_id": configuration.id,
        "seconds": 0.5,
    }


def recorded(accuracy: float, latency_ms: float, size_bytes: int, key: str) -> Record:
    """Return what is on record of a stack on one device, whose library has a `key`."""
    return Record(
        {
            "accuracy": accuracy, "accuracy_low": accuracy - 0.1, "accuracy_high": accuracy + 0.1,
            "latency_ms": latency_ms, "latency_low_ms": latency_ms - 0.1, "latency_high_ms": latency_ms + 0.1,
            "size_bytes": size_bytes, "macs": 5, "build_key": key, "measure_key": f"m{key}",
        }
    )  # fmt: skip


def frame_of(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


def disturbed(frame: pd.DataFrame, number: int, why: str) -> pd.DataFrame:
    """Return `frame` with the latency of one trial disturbed, and all others good."""
    return frame.assign(latency_disturbed=frame["number"].map({number: why}))


def emulated(frame: pd.DataFrame, device: str) -> pd.DataFrame:
    """Return `frame` with the latencies on one device marked as emulated."""
    return frame.assign(latency_emulated=frame["device"].map({device: True}).where(frame["state"] == "complete"))


def study(devices: tuple[str, ...] = ("local",)) -> pd.DataFrame:
    """Return a study of 36 stacks on each of `devices`, with a trade-off and a few failures."""
    rows: list[dict[str, Any]] = []
    for scale, device in enumerate(devices, 1):
        for index in range(36):
            compression = ("none", "weight_pruning", "channel_pruning")[index % 3]
            ratio = None if compression == "none" else 0.5 + 0.25 * (index % 2)
            model = ("mobilenetv2", "resnet18")[index // 18]
            algorithm = ("direct", "gemm", "spatial_pack")[index // 3 % 3]
            axes: dict[str, Any] = {
                "model": model,
                "compression": compression,
                "ratio": ratio,
                "algorithm": algorithm,
                "width": 0.25,
            }
            axes |= {"threads": 1 + index // 9 % 2, "device": device}
            if index % 17 == 5:
                rows.append(failed(len(rows), **axes))
                continue
            removed = ratio or 0
            accuracy = 0.97 + 0.012 * (model == "resnet18") - 0.04 * removed**2 - 0.004 * abs(math.sin(index))
            saved = removed if compression == "channel_pruning" else 0.1 * removed
            latency = scale * (0.4 + 1.6 * (model == "resnet18")) * (1 - 0.8 * saved)
            latency *= (1, 1.5, 0.7)[index // 3 % 3] / (1 + 0.7 * (index // 9 % 2)) * (1 + 0.1 * math.cos(index))
            size = int(2.2e6 * (1 - saved)) if model == "resnet18" else int(3e5 * (1 - saved))
            rows.append(complete(len(rows), accuracy, latency, size, **axes))
    return frame_of(*rows)
