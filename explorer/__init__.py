"""A workspace folder → its study run, and read as pandas frames and answers; the command line calls these functions.

>>> import explorer
>>> explorer.run("quickstart", workspace="workspace")
>>> explorer.front("workspace")
>>> explorer.best(device="local", latency_ms=2.0)
"""

from explorer.bundling import bundle, verify
from explorer.devices import add_device, check_device
from explorer.networks import check_weights, list_models
from explorer.profiling import explain, profile
from explorer.reading import (
    DEFAULT_WORKSPACE,
    best,
    compare,
    draw,
    figure,
    frame,
    front,
    layers,
    menu,
    nearest,
    objectives,
    open,
    report,
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
    "check_weights",
    "compare",
    "count",
    "draw",
    "evaluate",
    "explain",
    "figure",
    "frame",
    "front",
    "grid",
    "layers",
    "list_models",
    "measure",
    "menu",
    "nearest",
    "objectives",
    "open",
    "plan",
    "profile",
    "report",
    "run",
    "study_limits",
    "study_records",
    "ties",
    "tune_space",
    "verify",
]
