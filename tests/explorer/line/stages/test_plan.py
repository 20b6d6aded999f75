"""Plans: the problems of a network, each once, with their candidates, and how much is evicted between two runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import tvm

from dlas_ops.passes.eviction import evicted_bytes
from dlas_ops.placement.graph import Graph, Problem
from dlas_ops.processor.targets import describe
from dlas_ops.selection import candidates
from explorer.core.artifact import Artifact
from tests import torch_stages
from tests.dlas_ops import small_networks as networks

AVX512 = {"kind": "llvm", "mcpu": "skylake-avx512", "num-cores": 2}


def plan(folder: Path, network: Artifact, format: str = "dense", dtype: str = "float32") -> Artifact:
    choice = {"format": format, "dtype": dtype, "target": AVX512}
    return torch_stages.execute("plan", folder / format / dtype, choice, network=network)


def problems_of(planned: Artifact) -> list[Problem]:
    return [Problem.from_json(own["problem"]) for own in planned.values["problems"]]


def test_layers_that_are_alike_are_one_problem(tmp_path: Path) -> None:
    onnx.save(networks.repeated(), tmp_path / "network.onnx")
    planned = plan(tmp_path, Artifact("compress", "three alike", tmp_path))
    graph = Graph.from_json(json.loads((planned.path / "graph.json").read_text()))
    assert problems_of(planned) == graph.distinct()
    convolutions = [own for own in problems_of(planned) if own.operator == "conv2d"]
    assert [own.plain for own in convolutions] == [True, False], "the first reads the network's own input"


def test_a_problem_has_the_candidates_of_its_dtype(small: Artifact, tmp_path: Path) -> None:
    target: Any = tvm.target.Target(AVX512)
    for dtype in ("float32", "float16"):
        planned = plan(tmp_path, small, dtype=dtype)
        for problem, own in zip(problems_of(planned), planned.values["problems"], strict=True):
            assert problem.dtype == dtype
            assert own["candidates"] == candidates.names(problem, target)
            if problem.operator == "conv2d":
                assert {"direct/dense", "gemm/dense", "spatial_pack/dense"} <= {*own["candidates"]}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_as_much_is_evicted_as_the_network_reads_and_the_cache_holds(
    dtype: str, small: Artifact, tmp_path: Path
) -> None:
    planned = plan(tmp_path, small, dtype=dtype)
    graph = Graph.from_json(json.loads((planned.path / "graph.json").read_text()))
    cpu = describe(tvm.target.Target(AVX512))
    assert planned.values["evicted_bytes"] == evicted_bytes(graph.weight_bytes, cpu) >= graph.weight_bytes > 0
