"""Candidate kernels: a function of the library for each candidate of each problem, with the weights that it needs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import tvm

from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.targets import native_target
from dlas_ops.selection import candidates
from tests import torch_stages

CONV = Conv(1, 8, 4, 4, 8, (3, 3), padding=(1, 1, 1, 1))


def test_every_candidate_of_every_problem_is_in_the_library(tmp_path: Path) -> None:
    problems = [Problem("conv2d", CONV, format="csr", density=0.5), Problem("convert", CONV)]
    parameters = {"problems": [problem.to_json() for problem in problems], "target": native_target()}
    made = torch_stages.execute("candidates", tmp_path, parameters)
    assert made.values == {"problems": 2}
    built = json.loads((made.path / "functions.json").read_text())
    assert [Problem.from_json(fields) for fields, _ in built] == problems
    library, every = tvm.runtime.load_module(str(made.path / "candidates.tar")), []
    for problem, (_, functions) in zip(problems, built, strict=True):
        assert [*functions] == candidates.names(problem, tvm.target.Target(native_target()))
        every += [symbol for symbol, _ in functions.values()]
    assert len(set(every)) == len(every)
    assert all(library.implements_function(symbol) for symbol in every)
    with np.load(made.path / "weights.npz") as weights:
        assert {name.partition(".")[0] for name in weights.files} == {symbol for symbol, _ in built[0][1].values()}
