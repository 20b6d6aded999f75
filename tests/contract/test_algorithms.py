"""What every convolution algorithm must do, for each format of weights; a new file is tested by being there."""

from __future__ import annotations

import importlib
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlas_ops.compiler import DTYPES
from dlas_ops.kernels.algorithm import Algorithm, SparseAlgorithm
from dlas_ops.kernels.algorithms import direct, gemm, spatial_pack, winograd
from dlas_ops.kernels.operators.points_innermost import POINTS
from dlas_ops.kernels.registry import FORMATS, Asked, fitting, implemented, names, selects
from dlas_ops.kernels.scheduling import asked_schedule, schedule_function, space
from dlas_ops.kernels.shared.convolution import Conv
from dlas_ops.kernels.sparse import direct as sparse_direct
from dlas_ops.kernels.sparse import gemm as sparse_gemm
from dlas_ops.kernels.sparse import spatial_pack as sparse_spatial_pack
from dlas_ops.placement.graph import Problem
from dlas_ops.processor.targets import describe
from dlas_ops.selection.candidates import programs
from explorer.core import plugins
from tests.dlas_ops.named_targets import PROCESSORS, named
from tests.dlas_ops.shapes import SETTINGS, convolutions

# A type checker holds each module against the protocol here.
DENSE: dict[str, Algorithm] = {"direct": direct, "gemm": gemm, "spatial_pack": spatial_pack, "winograd": winograd}
SPARSE: dict[str, SparseAlgorithm] = {
    "direct": sparse_direct, "gemm": sparse_gemm, "spatial_pack": sparse_spatial_pack,
}  # fmt: skip
CONV = Conv(1, 32, 8, 8, 32, (3, 3), padding=(1, 1, 1, 1))
EVERY = [asked for name in implemented() for asked in (Asked(name, format) for format in FORMATS) if asked.implemented]


def test_every_file_is_held_against_the_protocol() -> None:
    assert set(DENSE) == set(implemented())
    assert {str(asked) for asked in EVERY if asked.format == "csr"} == {f"{name}/csr" for name in SPARSE}
    for name in names():
        assert selects(name) != (name in DENSE)


@pytest.mark.parametrize("asked", EVERY, ids=str)
class TestAlgorithm:
    def test_says_what_it_runs(self, asked: Asked) -> None:
        module = asked.module
        assert set(module.DTYPES) <= set(DTYPES)
        assert "float32" in module.DTYPES
        assert module.__doc__

    def test_refuses_in_a_sentence_or_runs(self, asked: Asked) -> None:
        target = named("znver4")

        @settings(SETTINGS, max_examples=40)
        @given(convolutions(asked.algorithm), st.sampled_from(DTYPES))
        def cases(conv: Conv, dtype: str) -> None:
            reason = asked.why_not(conv, dtype, target)
            assert (reason is None) == (asked in fitting(conv, target, asked.format, dtype))
            assert reason is None or re.fullmatch(r"[^\n]{10,}", reason)

        cases()

    @pytest.mark.parametrize("mcpu", PROCESSORS)
    def test_its_activations_are_whole_vectors_or_points_innermost(self, asked: Asked, mcpu: str) -> None:
        cpu = describe(named(mcpu))
        for channels in (1, 3, 16, 40):
            block = asked.module.block(channels, cpu)
            assert block == POINTS or (block > 0 and block % cpu.lanes() == 0)

    @pytest.mark.parametrize("mcpu", ["x86-64-v2", "znver4", "cortex-a72"])
    def test_the_rules_choose_the_first_of_its_tunables(self, asked: Asked, mcpu: str) -> None:
        problem = Problem(CONV.operator, CONV, format=asked.format, density=0.3)
        function, cpu = programs(problem, named(mcpu))[str(asked)].function, describe(named(mcpu))
        assert asked_schedule(function).partition("/")[0] == asked.algorithm
        tunables = space(function, cpu)
        assert all(len(values) == len(set(values)) > 0 for values in tunables.values())
        by_rules = schedule_function(function, cpu)
        spelled_out = schedule_function(function, cpu, {name: values[0] for name, values in tunables.items()})
        assert by_rules.script() == spelled_out.script()

    def test_packing_keeps_every_weight_of_a_pointwise_convolution(self, asked: Asked) -> None:
        conv, cpu = replace(CONV, kernel=(1, 1), padding=(0, 0, 0, 0)), describe(named("znver4"))
        if asked.module.supports(conv, named("znver4")):
            conv = CONV  # Winograd's is for 3 x 3 kernels, and transforms them
        weight = np.random.default_rng(0).standard_normal((32, 32, *conv.kernel)).astype(np.float32)
        packed = asked.module.pack(weight, conv, cpu)
        values = packed[0] if isinstance(packed, tuple) else packed
        assert values.dtype == np.float32
        if conv.kernel == (1, 1):
            np.testing.assert_array_equal(np.sort(values.ravel()), np.sort(weight.ravel()))
        else:
            assert values.size > weight.size


@pytest.mark.parametrize("algorithm", [name for name in names() if not selects(name)])
def test_the_formats_for_gpus_are_those_that_have_kernels_there(algorithm: str) -> None:
    formats = plugins.literal("algorithm", algorithm, "GPU_FORMATS")
    own = importlib.import_module(f"dlas_ops.kernels.algorithms.{algorithm}")
    sparse = importlib.import_module(f"dlas_ops.kernels.sparse.{algorithm}") if "csr" in own.FORMATS else None
    assert ("csr" in formats) == bool(getattr(sparse, "GPU_DTYPES", ()))
    assert "dense" in formats
