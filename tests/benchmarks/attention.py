"""Attention as one program, against the three programs that it takes the place of, and against ONNX Runtime.

Claim: one program takes 0.65 to 0.78 of the three programs' time and 0.39 to 0.84 of ONNX Runtime's (apache-tvm
0.27.0.post1 and onnxruntime 1.32.0 on 2 cores of AMD Zen 4, AVX-512; one load).

Sample: by default 15 rounds in which every contender takes a turn of 0.1 s of untimed and 5 timed runs; batch 1, 2
threads, float32. A network cuts queries, keys and values, tokens before heads, out of one tensor, and ends in a ReLU.
One process for TVM and one for ONNX Runtime; the one whose turn it is not is stopped.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from unittest.mock import patch

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that `tests` can be imported when this runs as a script

from tests.benchmarks.common import (
    Contender,
    Row,
    Timed,
    environment,
    interleave,
    print_table,
    summary,
    wall_clock,
    write_json,
)

FUSED, APART, PEER = "one program", "three programs", "onnxruntime"
# Tokens, heads and depth: MobileViT-xxs' largest maps, ViT-tiny, ViT-S at 384 px, longer ones.
SHAPES = ((256, 4, 16), (197, 3, 64), (577, 6, 64), (1024, 6, 64), (2048, 3, 64))


def dlas(shape: tuple[int, int, int], threads: int) -> dict[str, Timed]:
    """Return what times the network compiled with attention as one program, and as three."""
    os.environ["TVM_NUM_THREADS"] = str(threads)
    import dlas_ops
    from dlas_ops._tvm import tvm
    from dlas_ops.placement.rules import attention
    from dlas_ops.processor.targets import native_target
    from tests.dlas_ops.kernels.operators.test_attention import Case

    tokens, heads, depth = shape
    case = Case(1, heads, tokens, tokens, depth, depth)
    target, found = tvm.target.Target(native_target()), {}
    data = tvm.runtime.tensor(case.data())
    for name, pays in ((FUSED, attention.pays), (APART, lambda queries, cpu: False)):
        with patch.object(attention, "pays", pays):
            compiled = dlas_ops.compile(case.network(), target, algorithm="gemm")
        ran = {layer.operator for layer in compiled.layers}
        assert ("attention" in ran) == (name == FUSED), ran
        main = tvm.relax.VirtualMachine(compiled.library, tvm.cpu())["main"]
        found[name] = wall_clock(lambda main=main: main(data))  # type: ignore[misc]
    return found


def onnxruntime(shape: tuple[int, int, int], threads: int) -> dict[str, Timed]:
    """Return what times the same network in ONNX Runtime."""
    import onnxruntime as ort

    from tests.dlas_ops.kernels.operators.test_attention import Case

    tokens, heads, depth = shape
    case, options = Case(1, heads, tokens, tokens, depth, depth), ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(case.network().SerializeToString(), options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: case.data()}
    return {PEER: wall_clock(lambda: session.run(None, inputs))}


def rows(shape: tuple[int, int, int], arguments: argparse.Namespace) -> list[Row]:
    """Return a row for each contender on attention of `shape`."""
    contenders = [Contender(prepare, shape, arguments.threads) for prepare in (dlas, onnxruntime)]
    times = interleave(contenders, arguments.rounds, 0.1, 5)
    for contender in contenders:
        contender.close()
    named = dict(zip(("tokens", "heads", "depth"), shape, strict=True))
    made = [{**named, "contender": name, **summary(samples)} for name, samples in times.items()]
    base = made[0]["median_ms"]
    return [{**row, "ratio_to_one_program": round(row["median_ms"] / base, 3)} for row in made]


def main() -> None:
    """Measure every shape, and print or write the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="turns of every contender")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write environment and rows to this file")
    arguments = parser.parse_args()
    found = [row for shape in SHAPES for row in rows(shape, arguments)]
    print_table(found)
    if arguments.json:
        write_json(arguments.json, environment(("apache-tvm", "onnxruntime")), found)


if __name__ == "__main__":
    main()
