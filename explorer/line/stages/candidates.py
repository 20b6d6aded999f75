"""Problems of layers → a library with every candidate kernel for them, for an algorithm that selects."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tvm

from dlas_ops.placement.graph import Problem
from dlas_ops.selection import candidates
from explorer.line.contracts.candidates import Parameters, Parents, Values

VERSION = 7  # of the kernels, too: what was measured of another version is measured anew
WORKER = "tvm"
FUNCTIONS = "functions.json"  # [problem, candidate → function] of all problems
WEIGHTS = "weights.npz"  # <function>.<argument>, where not any numbers will do
LIBRARY = "candidates.tar"


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Write the library, the names of its functions and the weights to measure them with."""
    problems = [Problem.from_json(fields) for fields in parameters.problems]
    built = candidates.build(problems, tvm.target.Target(parameters.target))
    built.library.export_library(str(out / LIBRARY))
    (out / FUNCTIONS).write_text(json.dumps(list(zip(parameters.problems, built.functions, strict=True))))
    arrays = {f"{name}.{index}": part for name, own in built.weights.items() for index, part in enumerate(own)}
    np.savez(out / WEIGHTS, allow_pickle=False, **arrays)
    return {"problems": len(problems)}
