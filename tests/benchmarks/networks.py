"""Whole networks, untuned, in float32: each convolution algorithm against ONNX Runtime and torch eager.

Claim: untuned ResNet18 and MobileNetV2 on 32x32 inputs run within 1.25x of ONNX Runtime's time on every algorithm
(apache-tvm 0.27.0.post1 and onnxruntime 1.32.0 on 2 cores of a Xeon of family 6, model 207: Emerald Rapids, AVX-512).

Sample: 40 rounds in which every engine takes a turn of 5 untimed and 2 timed runs; batch 1, 2 threads, random weights
from a fixed seed. One process per engine; all but the one whose turn it is are stopped.

Networks are torchvision's, their stem fitted to small images when the input is at most 64 pixels wide: resnet18 gets a
3x3 stem of stride 1 and no max-pool, mobilenetv2 gets stride 1 in its stem and in its second stage, as is usual for
CIFAR (94 million multiply-accumulates at 32x32).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks.common import Contender, Row, environment, interleave, print_table, summary, write_json

SMALL = 64
Runs = dict[str, Callable[[], object]]


def network(name: str, size: int) -> Any:
    """Return torchvision's network `name` with seeded random weights, its stem fitted to small images."""
    import torch
    import torchvision

    torch.manual_seed(0)
    if name == "resnet18":
        model = torchvision.models.resnet18(num_classes=10)
        if size <= SMALL:
            model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
            model.maxpool = torch.nn.Identity()
    elif name == "mobilenetv2":
        model = torchvision.models.mobilenet_v2(num_classes=10)
        if size <= SMALL:
            model.features[0][0].stride = model.features[2].conv[1][0].stride = (1, 1)
    else:
        model = getattr(torchvision.models, name)(num_classes=10)
    return model.eval()


def torch_eager(name: str, size: int, threads: int, path: Path) -> Runs:
    """Export the network to `path`, then run it in torch."""
    import torch

    torch.set_num_threads(threads)
    model, data = network(name, size), torch.randn(1, 3, size, size)
    torch.onnx.export(model, (data,), dynamo=True, opset_version=20, verbose=False).save(str(path))  # type: ignore[union-attr]

    def run() -> None:
        with torch.inference_mode():
            model(data)

    return {"torch": run}


def onnxruntime(size: int, threads: int, path: Path) -> Runs:
    """Run the exported network in ONNX Runtime with all graph optimizations, its default."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: _data(np, size)}
    return {"onnxruntime": lambda: session.run(None, inputs)}


def dlas(size: int, threads: int, path: Path, algorithms: list[str]) -> Runs:
    """Compile the exported network once per algorithm and run it in TVM's virtual machine."""
    os.environ["TVM_NUM_THREADS"] = str(threads)
    import numpy as np
    import onnx

    import dlas_ops
    from dlas_ops._tvm import tvm
    from dlas_ops.targets import native_target

    model, target = onnx.load(path), tvm.target.Target({**native_target(), "num-cores": threads})
    data = tvm.runtime.tensor(_data(np, size))

    def runner(algorithm: str) -> Callable[[], object]:
        machine = tvm.relax.VirtualMachine(dlas_ops.compile(model, target, algorithm=algorithm).library, tvm.cpu())
        machine.set_input("main", data)
        return lambda: machine.invoke_stateful("main")

    return {algorithm: runner(algorithm) for algorithm in algorithms}


def measure(name: str, arguments: argparse.Namespace) -> list[Row]:
    """Return one row per engine and algorithm."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        size, threads = arguments.input, arguments.threads
        contenders = [Contender(torch_eager, name, size, threads, path)]
        contenders.append(Contender(onnxruntime, size, threads, path))
        contenders.append(Contender(dlas, size, threads, path, arguments.algorithms))
        try:
            times = interleave(contenders, arguments.rounds, arguments.warm_up, arguments.runs)
        finally:
            for contender in contenders:
                contender.close()
    base = summary(times["onnxruntime"])["median_ms"]
    rows = []
    for variant, samples in times.items():
        ours = variant in arguments.algorithms
        rows.append({
            "network": name, "input": size, "engine": "dlas" if ours else variant,
            "algorithm": variant if ours else "", "format": "dense", "dtype": "float32", "threads": threads,
            **summary(samples), "ratio_to_onnxruntime": round(summary(samples)["median_ms"] / base, 3),
        })  # fmt: skip
    return rows


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet18", "mobilenetv2"], help="torchvision networks")
    parser.add_argument("--input", type=int, default=32, help="height and width of the input in pixels")
    parser.add_argument("--algorithms", nargs="+", default=["direct", "gemm", "spatial_pack"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=40, help="turns of every engine")
    parser.add_argument("--warm-up", type=int, default=5, help="untimed runs at the start of a turn")
    parser.add_argument("--runs", type=int, default=2, help="timed runs in a turn")
    parser.add_argument("--json", type=Path, help="write environment and rows to this file")
    arguments = parser.parse_args()
    facts = environment()
    print(f"{facts['cpu']}, {facts['cores']} cores, {facts['versions']}")
    rows = [row for name in arguments.networks for row in measure(name, arguments)]
    print_table(rows)
    if arguments.json:
        write_json(arguments.json, facts, rows)


def _data(np: Any, size: int) -> Any:
    return np.random.default_rng(0).standard_normal((1, 3, size, size)).astype(np.float32)


if __name__ == "__main__":
    main()
