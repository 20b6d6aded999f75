"""What layers compute → a library with every candidate kernel for them, for an algorithm that selects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tvm

from dlas_ops.placement.graph import Problem
from dlas_ops.selection import candidates
from explorer.core.artifact import Artifact

VERSION = 4  # of the kernels, too: what was measured of another version is measured anew
WORKER = "tvm"
FUNCTIONS = "functions.json"  # [problem, candidate → function] of all problems
WEIGHTS = "weights.npz"  # <function>.<argument>, where not any numbers will do
LIBRARY = "candidates.tar"


def run(parameters: Mapping[str, Any], parents: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
    """Write the library, what functions it has and the weights to measure them with; return ``{"problems": n}``.

    Parameters
    ----------
    parameters
        ``problems``, those of a ``plan`` that nothing is on record of, and ``target``, a TVM target as a dict.
    parents
        None: networks with the same layers share a library.
    """
    problems = [Problem.from_json(fields) for fields in parameters["problems"]]
    built = candidates.build(problems, tvm.target.Target(parameters["target"]))
    built.library.export_library(str(out / LIBRARY))
    (out / FUNCTIONS).write_text(json.dumps(list(zip(parameters["problems"], built.functions, strict=True))))
    arrays = {f"{name}.{index}": part for name, own in built.weights.items() for index, part in enumerate(own)}
    np.savez(out / WEIGHTS, allow_pickle=False, **arrays)
    return {"problems": len(problems)}
