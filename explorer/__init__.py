"""A workspace folder → its study run, and read as pandas frames and answers; the command line calls these functions.

>>> import explorer
>>> explorer.run("quickstart", workspace="workspace")
>>> explorer.front("workspace")
>>> explorer.best(device="local", latency_ms=2.0)
"""

from explorer.bundling import bundle, verify
from explorer.devices import add_device, check_device
from explorer.reading import (
    DEFAULT_WORKSPACE,
    best,
    compare,
    figure,
    frame,
    front,
    layers,
    nearest,
    objectives,
    open,
    study_limits,
    study_records,
    ties,
)
from explorer.running import evaluate, grid, measure, run
from explorer.spaces import count, plan, tune_space

__all__ = [
    "DEFAULT_WORKSPACE",
    "add_device",
    "best",
    "bundle",
    "check_device",
    "compare",
    "count",
    "evaluate",
    "figure",
    "frame",
    "front",
    "grid",
    "layers",
    "measure",
    "nearest",
    "objectives",
    "open",
    "plan",
    "run",
    "study_limits",
    "study_records",
    "ties",
    "tune_space",
    "verify",
]
