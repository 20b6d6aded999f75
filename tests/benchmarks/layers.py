"""Every distinct layer of the benchmark networks x algorithm, format and dtype, each timed as its tensor program alone.

Claim: on ResNet18's 3x3 convolutions at 32x32, spatial_pack in float32 reaches 72 to 96 % of the speed of a large
matrix product, 64 to 66 % on the stem of three input channels (--networks resnet18@32 --layers '3x3*' --variants
direct spatial_pack --rounds 3; apache-tvm 0.27.0.post1 against torch's sgemm, 2 cores of a Xeon of family 6, model 207:
Emerald Rapids, AVX-512). csr overtakes the best dense program where 70 % (maps of 4x4 and 8x8) to 90 % (32x32) of the
weights of a 3x3 convolution are zero; on the stem and on 1x1 convolutions it does not with 95 % (--networks resnet18@32
--variants direct spatial_pack winograd --sparsities 0.5 0.7 0.8 0.9 0.95 --rounds 4).

Sample: 10 rounds of 3 samples per tensor program, each the mean of as many runs as fill half a millisecond; batch 1, 2
threads. Layers are compiled with bias and ReLU; activations come in the layout that they have inside a network, and
weights and activations are in the caches as far as they fit. A layer that needs several programs counts their sum.

The peak that shares are taken of is torch's float32 product of two 2048x2048 matrices, measured in turns with the
layers, also for int8. `winner` marks the fastest row of a layer. Where an algorithm does not apply to a layer it has
no row; depthwise, grouped and dense layers have one per activation layout. Sparse weights have that share of zeros.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks import layer_shapes, networks, zoo
from tests.benchmarks.common import Contender, Row, Timed, environment, interleave, locked, print_table, write_json
from tests.benchmarks.engines import Variant, in_process
from tests.benchmarks.layer_shapes import Shape

VARIANTS = [variant for variant in networks.VARIANTS if not variant.startswith("auto")]
PEAK = "sgemm"
PEAK_SIZE = 2048
BATCH = 24  # layers in one build
SAMPLE = 0.5e-3  # seconds


def sgemm(threads: int) -> dict[str, Timed]:
    """Multiply two large matrices in torch."""
    import torch

    from tests.benchmarks.common import wall_clock

    torch.set_num_threads(threads)
    a, b, c = (torch.randn(PEAK_SIZE, PEAK_SIZE) for _ in range(3))
    return {PEAK: wall_clock(lambda: torch.mm(a, b, out=c))}


def lowered(layers: Sequence[Shape], variant: Variant, target: Any) -> Any:
    """Return the lowered network of `layers`."""
    import dlas_ops

    model = layer_shapes.network_of(layers, variant.sparsity)
    if variant.dtype == "int8":
        model = zoo.quantised(model)
    return dlas_ops.lower(model, target, algorithm=variant.algorithm, format=variant.format, dtype=variant.dtype)


def shapes_of(spec: str, models: Path | None) -> list[Shape]:
    """Return the distinct layers of the network "name@size", whose ONNX file may lie in the folder `models`."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = (models or Path(temporary)) / spec
        networks.prepare(spec, folder, set(), int8=False)
        return layer_shapes.shapes(zoo.onnx_path(folder))


def refusals(variants: Sequence[Variant], threads: int) -> dict[Variant, str]:
    """Return why this version does not compile a variant, for those that it does not."""
    from dlas_ops.kernels.shared.convolution import Conv

    layer, target, reasons = Shape(Conv(1, 32, 8, 8, 32, (3, 3), padding=(1, 1, 1, 1))), _target(threads), {}
    for variant in variants:
        try:
            made = next(line for line in lowered([layer], variant, target).layers if line.weight)
            if not _ran(made.ran, variant, layer):
                reasons[variant] = made.reason
        except (ValueError, NotImplementedError) as refusal:
            reasons[variant] = str(refusal)
    return reasons


def programs(layers: Sequence[Shape], variants: Sequence[Variant], threads: int) -> dict[str, Timed]:
    """Compile `layers` in every variant; return a timed function per "number of the layer|variant|ran"."""
    os.environ["TVM_NUM_THREADS"] = str(threads)
    from dlas_ops._tvm import tvm
    from dlas_ops.kernels.scheduling import schedule
    from dlas_ops.passes.pipeline import PIPELINE

    target = _target(threads)
    timed: dict[str, Timed] = {}
    seen = set()
    for variant in variants:
        network = lowered(layers, variant, target)
        ran = [layer.ran for layer in network.layers if layer.weight]
        module, calls = tvm.IRModule(), {}
        for i, kernels in enumerate(layer_shapes.programs_of(network, layers)):
            shapes = str([argument.ty for _, arguments in kernels for argument in arguments])
            if not _ran(ran[i], variant, layers[i]) or (i, ran[i], shapes) in seen:
                continue
            seen.add((i, ran[i], shapes))
            names = [f"layer{i}_{j}" for j in range(len(kernels))]
            for name, (function, _) in zip(names, kernels, strict=True):
                module[name] = function.with_attr("global_symbol", name)
            calls[f"{i}|{variant}|{ran[i]}"] = [
                (name, _tensors(arguments)) for name, (_, arguments) in zip(names, kernels, strict=True)
            ]
        with target:
            library = tvm.tirx.build(schedule(module, target), target, PIPELINE)
        timed |= {name: _evaluated(library, kernels) for name, kernels in calls.items()}
    return timed


def measure(layers: Sequence[Shape], variants: Sequence[Variant], arguments: argparse.Namespace) -> Iterator[Row]:
    """Yield a row per layer and variant, without the network; the peak of the same turns is in each."""
    with locked(arguments.lock, exclusive=False):
        peak = Contender(sgemm, arguments.threads)
    for begin in range(0, len(layers), BATCH):
        batch = layers[begin : begin + BATCH]
        with locked(arguments.lock, exclusive=False):
            ours = Contender(programs, batch, variants, arguments.threads)
        times = interleave([peak, ours], arguments.rounds, arguments.warm_up, arguments.runs, arguments.lock)
        ours.close()
        best = 2 * PEAK_SIZE**3 / _median(times.pop(PEAK)) / 1e6
        for name, samples in times.items():
            number, text, ran = name.split("|")
            layer, variant, median = batch[int(number)], Variant.parse(text), _median(samples)
            speed = 2 * layer.conv.macs / median / 1e6
            yield {
                "shape": layer, "layer": str(layer), "algorithm": variant.algorithm, "ran": ran.partition("/")[0],
                "format": variant.format, "dtype": variant.dtype, "sparsity": variant.sparsity,
                "median_us": round(1e3 * median, 2), "gflops": round(speed, 1), "peak_gflops": round(best, 1),
                "share_of_peak": round(speed / best, 3),
            }  # fmt: skip
    peak.close()


def by_network(rows: Sequence[Row], layers: dict[str, list[Shape]]) -> list[Row]:
    """Return the rows of each network's layers, with the winners marked."""
    fastest: dict[Shape, float] = {}
    for row in rows:
        fastest[row["shape"]] = min(row["median_us"], fastest.get(row["shape"], row["median_us"]))
    return [
        {"network": network, **{key: value for key, value in row.items() if key != "shape"},
         "winner": row["median_us"] == fastest[shape]}
        for network, shapes in layers.items() for shape in shapes for row in rows if row["shape"] == shape
    ]  # fmt: skip


def crossovers(rows: Sequence[Row]) -> list[Row]:
    """Return, per layer, the sparsity from which csr beats the best dense program."""
    found = []
    for layer in dict.fromkeys(row["layer"] for row in rows if row["format"] == "csr"):
        own = [row for row in rows if row["layer"] == layer and row["dtype"] == "float32"]
        dense = min(row["median_us"] for row in own if row["format"] == "dense")
        sparse: dict[float, float] = {}
        for row in own:
            if row["format"] == "csr":
                sparse[row["sparsity"]] = min(row["median_us"], sparse.get(row["sparsity"], row["median_us"]))
        winning = [sparsity for sparsity, median in sparse.items() if median < dense]
        times = {f"csr@{sparsity}_us": median for sparsity, median in sorted(sparse.items())}
        found.append({"layer": layer, "best_dense_us": dense, **times, "csr_from": min(winning, default="never")})
    return found


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = networks.argument_parser(__doc__, VARIANTS)
    parser.add_argument("--layers", default="*", metavar="PATTERN", help="such as '3x3*', matched against names")
    parser.add_argument("--sparsities", nargs="+", type=float, help="print from which of these on csr beats dense")
    parser.add_argument("--rounds", type=int, default=10, help="turns of every tensor program")
    parser.add_argument("--warm-up", type=float, default=0.004, help="seconds of untimed runs at the start of a turn")
    parser.add_argument("--runs", type=int, default=3, help="samples in a turn")
    arguments = parser.parse_args()
    variants = [Variant.parse(text) for text in arguments.variants]
    if arguments.sparsities:
        dense = [variant for variant in variants if (variant.dtype, variant.format) == ("float32", "dense")]
        sparse = [Variant(own.algorithm, "float32", "csr", share) for share in arguments.sparsities for own in dense]
        variants = [*dense, *sparse]
    with locked(arguments.lock, exclusive=False):
        refused = in_process(refusals, variants, arguments.threads)
        for variant, reason in refused.items():
            print(f"{variant} is skipped: {reason}")
        variants = [variant for variant in variants if variant not in refused]
        if arguments.sparsities and not any(variant.format == "csr" for variant in variants):
            sys.exit("no algorithm of this version runs csr: there is no crossover to report")
        layers = {spec: shapes_of(spec, arguments.models) for spec in arguments.networks}
    layers = {spec: [s for s in found if fnmatch.fnmatch(str(s), arguments.layers)] for spec, found in layers.items()}
    rows = list(
        measure(list(dict.fromkeys(shape for found in layers.values() for shape in found)), variants, arguments)
    )
    if not rows:
        sys.exit(f"no layer matches {arguments.layers}")
    table = by_network(rows, layers)
    print_table(table)
    if arguments.sparsities:
        print_table(crossovers(rows))
    peak = _median([row["peak_gflops"] for row in rows])
    print(f"{PEAK}: {peak:.0f} GFLOP/s, the median over the builds")
    if arguments.json:
        write_json(arguments.json, {**environment(), "peak_gflops": peak}, table)


def _target(threads: int) -> Any:
    from dlas_ops._tvm import tvm
    from dlas_ops.processor.targets import native_target

    return tvm.target.Target({**native_target(), "num-cores": threads})


def _ran(ran: str, variant: Variant, layer: Shape) -> bool:
    """Whether `layer` ran what was asked for, or is of a kind that has no choice and is asked for densely."""
    if layer.dense or layer.conv.groups > 1:
        return variant.format == "dense" or ran.endswith(variant.format)
    return ran == f"{variant.algorithm}/{variant.format}"


def _median(samples: Sequence[float]) -> float:
    from statistics import median

    return median(samples)


def _tensors(arguments: Sequence[Any]) -> list[Any]:
    """Return a tensor per argument of a tensor program: its constants, and random activations."""
    import numpy as np

    from dlas_ops._tvm import tvm

    generator, tensors = np.random.default_rng(0), []
    for argument in arguments:
        if isinstance(argument, tvm.ir.GenericConst):
            tensors.append(argument.value)
            continue
        dtype = str(argument.ty.dtype)
        values = generator.standard_normal([int(size) for size in argument.ty.shape])
        values = values if "float" in dtype else 30 * values + 128 * dtype.startswith("u")
        tensors.append(tvm.runtime.tensor(values.astype(dtype)))
    return tensors


def _evaluated(library: Any, kernels: Sequence[tuple[str, list[Any]]]) -> Timed:
    """Return a timed function for the sum of `kernels`, in milliseconds."""
    from dlas_ops._tvm import tvm

    def once(name: str, tensors: list[Any], seconds: float, repeat: int) -> list[float]:
        ran = library.time_evaluator(name, tvm.cpu(), number=1, repeat=3)(*tensors)
        number = max(1, round(seconds / min(ran.results)))
        return list(library.time_evaluator(name, tvm.cpu(), number=number, repeat=repeat)(*tensors).results)

    def timed(warm_up: float, runs: int) -> list[float]:
        total = [0.0] * runs
        for name, tensors in kernels:
            once(name, tensors, warm_up, 1)
            if runs:
                total = [sum(pair) for pair in zip(total, once(name, tensors, SAMPLE, runs), strict=True)]
        return [1e3 * seconds for seconds in total]

    return timed


if __name__ == "__main__":
    main()
