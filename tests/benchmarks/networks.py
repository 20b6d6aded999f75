"""Whole networks, untuned, of the zoo and others: each algorithm, format and dtype against torch and two runtimes.

Claim: untuned and in float32, the best single algorithm of each of the eight takes 0.88 of ONNX Runtime's time in the
geometric mean over the networks, and on none more than 0.96 of it; auto takes 0.84, on none more than 0.95. In int8 the
better of direct and spatial_pack takes 0.36 to 0.86 of ONNX Runtime's int8 time, 0.62 in the mean; direct in float16
takes 0.59 of its time in float32. ResNet18 with 90 % of its weights pruned takes 0.42 of auto's dense time in csr, with
95 % 0.29. The slowest compilation, DenseNet161, takes 11 s of processor time in float32 and 21 s in int8, in 0.7 GiB;
what auto builds and measures comes on top, 6 s on ResNet18 to 51 s on DenseNet161, in 0.9 GiB (apache-tvm 0.27.0.post1
and onnxruntime 1.32.0 on 2 cores of a Xeon of family 6, model 207: Emerald Rapids, AVX-512).

Of networks that others bring, the best single algorithm takes 0.88 of the time of the better of ONNX Runtime and
OpenVINO in the geometric mean, and on none more than 1.05 of it: vit_tiny_patch16_224 0.91, mixer_s32_224 0.83,
mobilevit_xxs 0.76, edgenext_xx_small 0.71, efficientformer_l1 0.92, convnext_atto 0.93, poolformer_s12 0.90, a network
of Conv1d 0.96, a U-Net 1.05. In int8 MobileViT takes 0.56 of our float32 and ViT 0.46; in bfloat16 ResNet50 takes 0.51
of it (4 rounds, one load, --variants direct spatial_pack direct:int8 spatial_pack:int8 direct:bfloat16, openvino
2026.4.1, on 2 cores of AMD Zen 4 with AVX512-BF16).

On a processor that multiplies matrices (AMX), int8 takes 0.76 of its time without them, by the faster of direct and
gemm, from 0.57 (ResNet50) to 0.96; 0.50 of ONNX Runtime's int8 time, 0.59 of the better of ONNX Runtime's and
OpenVINO's, and 0.27 of direct's float32. bfloat16 takes 0.43 of direct's float32 (geometric means of the eight; 4
rounds, one load, --variants direct direct:int8 direct:int8:vectors gemm:int8 gemm:int8:vectors direct:bfloat16
gemm:bfloat16, openvino 2026.4.1, on 2 virtual cores of Emerald Rapids that at times were threads of one core).

Sample: by default 20 rounds in which every engine takes a turn of 0.15 s of untimed and 3 timed runs; batch 1, 2
threads. The figures above are of 6 rounds (ResNet18: 10, MobileNetV1: 8) with --variants direct spatial_pack winograd
auto direct:int8 spatial_pack:int8 direct:float16, and for ResNet18 direct:csr@0.9 direct:csr@0.95. One process per
engine; all but the one whose turn it is are stopped. zoo.py says what the networks are. Every int8 engine runs one and
the same quantised ONNX model; a sparse variant runs the network with that share of the weights of every convolution
but the first pruned by magnitude. Each library is compiled in a process of its own, whose peak memory is `compile_mib`.
A variant is written algorithm[:dtype][:csr@sparsity][:vectors]; one that this version refuses is skipped with the
reason. On a processor that multiplies matrices (AMX), "vectors" does without: direct:int8 against direct:int8:vectors.

With --device, libraries are compiled for a device of a devices file, checked as at the start of a study, and timed
there over RPC. Where that is another machine, the other engines and torch take no part. Where it is this machine's
NVIDIA GPU, they are those of cuda_engines.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from explorer.core.errors import ExplorerError
from tests.benchmarks import cuda_engines, engines, on_device, zoo
from tests.benchmarks.common import (
    Contender,
    Row,
    environment,
    geometric_mean,
    interleave,
    locked,
    print_table,
    summary,
    write_json,
)
from tests.benchmarks.engines import Variant
from tests.benchmarks.on_device import Place

ALGORITHMS = ("direct", "gemm", "spatial_pack", "winograd", "auto")
VARIANTS = [name + kind for kind, name in product(("", ":int8", ":float16", ":csr@0.9"), ALGORITHMS)]


def prepare(spec: str, folder: Path, sparsities: set[float], int8: bool = True) -> None:
    """Write the network's ONNX files into `folder`, unless they lie there."""
    missing = {sparsity for sparsity in {0.0, *sparsities} if not zoo.onnx_path(folder, sparsity).exists()}
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        engines.in_process(zoo.export, spec, folder, frozenset(missing))
    if int8 and not zoo.onnx_path(folder, dtype="int8").exists():
        try:
            engines.in_process(zoo.quantise, folder)
        except Exception as error:  # ONNX Runtime's quantizer has limits of its own
            print(f"{spec}: int8 is skipped: ONNX Runtime cannot quantise it: {error}")


def compile_all(
    spec: str, folder: Path, variants: Sequence[Variant], threads: int, work: Path, place: Place | None
) -> dict[str, Row]:
    """Compile every variant in a process of its own; return compile time and memory of those that can be had."""
    facts = {}
    suffix, own = (".tar", (place.target, partial(on_device.measuring, place, threads))) if place else (".so", ())
    for variant in variants:
        path = work / f"{str(variant).replace(':', '-')}{suffix}"
        made = engines.in_process(engines.compile_library, folder, variant, threads, path, *own)
        if "refused" in made:
            print(f"{spec}: {variant} is skipped: {made['refused']}")
        else:
            facts[str(variant)] = {"library": path, **made}
    return facts


def start(spec: str, folder: Path, ours: dict[str, Row], threads: int, place: Place | None) -> list[Contender]:
    """Start every engine that there is on the device; one that crashes on this network is left out, with a word."""
    started = []
    calls: list[tuple[Any, ...]] = []
    if place and place.is_here and place.target["kind"] == "cuda":
        absent = engines.in_process(cuda_engines.lacking)
        for name, reason in absent.items():
            print(f"{spec}: {name} is skipped: {reason}")
        calls += cuda_engines.calls(spec, folder, absent)
    elif place is None or place.is_here:
        calls.append((engines.torch_eager, spec, threads))
        for peer, dtype in product((engines.onnxruntime, engines.openvino), ("float32", "int8")):
            if zoo.onnx_path(folder, dtype=dtype).exists():
                calls.append((peer, spec, threads, folder, dtype))
    libraries = {name: made["library"] for name, made in ours.items()}
    calls.append(
        (on_device.dlas, spec, threads, libraries, place) if place else (engines.dlas, spec, threads, libraries)
    )
    for call in calls:
        try:
            started.append(Contender(*call))
        except RuntimeError as death:
            said = " ".join(word for word in call[2:] if isinstance(word, str))
            print(f"{spec}: {call[0].__name__} {said} is left out: {death}")
    return started


def measure(spec: str, arguments: argparse.Namespace, place: Place | None) -> list[Row]:
    """Return one row per engine and variant."""
    variants = [Variant.parse(text) for text in arguments.variants]
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        folder = arguments.models / spec if arguments.models else work
        with locked(arguments.lock, exclusive=False):
            prepare(spec, folder, {variant.sparsity for variant in variants})
            if not zoo.onnx_path(folder, dtype="int8").exists():
                variants = [variant for variant in variants if variant.dtype != "int8"]
            ours = compile_all(spec, folder, variants, arguments.threads, work, place)
            contenders = start(spec, folder, ours, arguments.threads, place)
        try:
            times = interleave(contenders, arguments.rounds, arguments.warm_up, arguments.runs, arguments.lock)
        finally:
            for contender in contenders:
                contender.close()
    medians = {name: summary(samples)["median_ms"] for name, samples in times.items()}
    rows = []
    for name, samples in times.items():
        variant = Variant.parse(name)
        rows.append({
            "network": spec.partition("@")[0], "input": zoo.size_of(spec), "batch": zoo.batch_of(spec),
            "engine": "dlas" if name in ours else variant.algorithm,
            "algorithm": variant.algorithm if name in ours else "",
            "format": variant.format, "dtype": variant.dtype, "sparsity": variant.sparsity,
            "threads": arguments.threads, **summary(samples),
            "ratio_to_onnxruntime": ratio(medians, name, "onnxruntime"),
            "ratio_to_dlight": ratio(medians, name, engines.DLIGHT),
            **{f"ratio_to_{peer}": ratio(medians, name, str(Variant(peer, variant.dtype)))
               for peer in cuda_engines.PEERS if place and place.target["kind"] == "cuda"},
            "ratio_to_onnxruntime_int8":
                ratio(medians, name, "onnxruntime:int8") if variant.dtype == "int8" else None,
            "ratio_to_better": better(medians, name),
            "ratio_to_float32": ratio(medians, name, str(replace(variant, dtype="float32"))),
            "compile_s": ours.get(name, {}).get("compile_s"), "compile_mib": ours.get(name, {}).get("compile_mib"),
        })  # fmt: skip
    return rows


def ratio(medians: Mapping[str, float], name: str, peer: str) -> float | None:
    """Return the time of an engine relative to that of a peer; None where the peer has not run."""
    return round(medians[name] / medians[peer], 3) if peer in medians else None


def better(medians: Mapping[str, float], name: str) -> float | None:
    """Return the time of an engine relative to the better of the two peers in float32; None where neither has run."""
    ratios = [found for peer in ("onnxruntime", "openvino") if (found := ratio(medians, name, peer)) is not None]
    return max(ratios, default=None)


def print_summary(rows: Sequence[Row]) -> None:
    """Print geometric means over the networks of the times relative to ONNX Runtime's, where that has run."""
    dense = [row for row in rows if row["engine"] == "dlas" and row["format"] == "dense"]
    groups = {
        "best single algorithm, float32": [
            row for row in dense if row["dtype"] == "float32" and row["algorithm"] != "auto"
        ],
        "auto, float32": [row for row in dense if row["dtype"] == "float32" and row["algorithm"] == "auto"],
        **{f"best of all, {dtype}": [row for row in dense if row["dtype"] == dtype]
           for dtype in ("bfloat16", "float16", "int8")},
        "OpenVINO, float32": [row for row in rows if row["engine"] == "openvino" and row["dtype"] == "float32"],
        "OpenVINO, int8": [row for row in rows if row["engine"] == "openvino" and row["dtype"] == "int8"],
    }  # fmt: skip
    for title, group in groups.items():
        own = {"ratio_to_float32": "our own float32"}
        whole = {"ratio_to_onnxruntime": "ONNX Runtime", "ratio_to_better": "the better of both"}
        peers = {"ratio_to_onnxruntime_int8": "ONNX Runtime int8", **own} if "int8" in title else own
        peers = whole if "float32" in title else peers
        for column, peer in peers.items():
            if "OpenVINO" not in title or "onnxruntime" in column:
                print_best(f"{title}, relative to {peer}", group, column)


def print_best(title: str, rows: Sequence[Row], column: str) -> None:
    """Print of each network its least value in `column`, and their geometric mean."""
    best: dict[str, float] = {}
    for row in rows:
        network = f"{row['network']}@{row['input']}"
        if row[column] is not None:
            best[network] = min(row[column], best.get(network, row[column]))
    if best:
        each = ", ".join(f"{network} {relative:.2f}" for network, relative in best.items())
        print(f"{title}: {geometric_mean(list(best.values())):.3f} ({each})")


def print_gpu_summary(rows: Sequence[Row]) -> None:
    """Print geometric means over the networks of each variant's time relative to those of others on the same GPU."""
    for peer in (engines.DLIGHT, *cuda_engines.PEERS):
        ratios: dict[str, dict[str, float]] = {}
        for row in rows:
            if row["engine"] == "dlas" and row["algorithm"] != engines.DLIGHT and row.get(f"ratio_to_{peer}"):
                variant = f"{row['algorithm']} {row['dtype']} {row['format']}"
                network = f"{row['network']}@{row['input']}:{row['batch']}"
                ratios.setdefault(variant, {})[network] = row[f"ratio_to_{peer}"]
        for variant, of in ratios.items():
            each = ", ".join(f"{network} {relative:.3f}" for network, relative in of.items())
            print(f"{variant}: {geometric_mean(list(of.values())):.3f} x {peer} ({each})")


def argument_parser(
    description: str | None, variants: Sequence[str], specs: Sequence[str] = zoo.NETWORKS
) -> argparse.ArgumentParser:
    """Return the arguments that both benchmarks take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=specs, metavar="NAME@SIZE[:BATCH]", help="see zoo.py")
    parser.add_argument("--variants", nargs="*", default=variants, metavar="ALGORITHM[:DTYPE][:csr@SPARSITY][:vectors]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--models", type=Path, metavar="FOLDER", help="keep the ONNX files here, and take them from here"
    )
    parser.add_argument(
        "--lock", type=Path, metavar="FILE", help="lock that others on this machine hold while they work"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write environment and rows to this file")
    return parser


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argument_parser(__doc__, VARIANTS, (*zoo.NETWORKS, *zoo.BROUGHT))
    parser.add_argument("--rounds", type=int, default=20, help="turns of every engine")
    parser.add_argument("--warm-up", type=float, default=0.15, help="seconds of untimed runs at the start of a turn")
    parser.add_argument("--runs", type=int, default=3, help="timed runs in a turn")
    parser.add_argument("--device", metavar="NAME", help="measure on this device over RPC")
    parser.add_argument("--devices", type=Path, metavar="FILE", help="that has its entry; the bundled one by default")
    arguments = parser.parse_args()
    facts = environment()
    print(f"{facts['cpu']}, {facts['cores']} cores, {facts['versions']}")
    with ExitStack() as served:
        place = None
        if arguments.device:
            try:
                place = served.enter_context(on_device.reached(arguments.device, arguments.devices, arguments.threads))
            except ExplorerError as error:
                parser.error(str(error))
            facts |= {"device": place.name, "target": dict(place.target), "processor": place.processor}
            print(f"device {place.name}: {place.processor}, target {facts['target']}")
        rows: list[Row] = []
        for spec in arguments.networks:
            found = measure(spec, arguments, place)
            rows += found
            print_table(found)
            if arguments.json:
                write_json(arguments.json, facts, rows)
    print_summary(rows)
    print_gpu_summary(rows)


if __name__ == "__main__":
    main()
