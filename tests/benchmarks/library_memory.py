"""Networks and algorithms → what their libraries hold at work by plan, and what a process that runs one holds.

Claim: the plan (`dlas_ops.passes.memory`) is what the network needs; TVM 0.27 needs several times as much to load it.
A process that loads and runs ResNet18 for images of 224 x 224 grows by up to 4 times its weights, and keeps 2 times
theirs: the copies of the weights that the virtual machine makes, and those in the file, which the system may drop.

weights, arena, workspaces: bytes by plan, in MB; planned: their sum, on two threads.
loading: by how much the process has grown at most once it is loaded and has run; running: by how much then.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.benchmarks import engines, zoo
from tests.benchmarks.common import Row, environment, print_table, write_json

ALGORITHMS = ("direct", "gemm", "winograd")
THREADS = 2
MB = 1e6
HELD = """
import sys
import numpy as np
from dlas_ops._tvm import tvm

def held():
    lines = open("/proc/self/status").read().splitlines()
    return [1024 * int(line.split()[1]) for line in lines if line.startswith(("VmHWM", "VmRSS"))]

image = tvm.runtime.tensor(np.zeros((1, 3, int(sys.argv[2]), int(sys.argv[2])), np.float32))
_, before = held()
machine = tvm.relax.VirtualMachine(tvm.runtime.load_module(sys.argv[1]), tvm.cpu())
machine["main"](image)
print(*(each - before for each in held()))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=("resnet18@224",), metavar="NAME@SIZE", help="see zoo.py")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = [row for spec in given.networks for row in network_rows(spec, given.algorithms)]
    print_table(rows)
    if given.json:
        write_json(given.json, environment(), rows)


def network_rows(spec: str, algorithms: list[str]) -> list[Row]:
    """Return a row for each algorithm."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engines.in_process(zoo.export, spec, folder, frozenset({0.0}))
        return [row(spec, algorithm, folder) for algorithm in algorithms]


def row(spec: str, algorithm: str, folder: Path) -> Row:
    """Compile a network, and run it in a process of its own."""
    import onnx

    import dlas_ops
    from dlas_ops._tvm import tvm
    from dlas_ops.passes.memory import Memory
    from dlas_ops.processor.targets import native_target

    target, memory = tvm.target.Target(native_target()), Memory()
    lowered = dlas_ops.lower(onnx.load(zoo.onnx_path(folder)), target, algorithm=algorithm)
    library = folder / f"{algorithm}.so"
    dlas_ops.build(lowered, target, memory=memory).library.export_library(str(library))
    command = [sys.executable, "-c", HELD, str(library), str(zoo.size_of(spec))]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    loading, running = (round(int(each) / MB, 1) for each in printed.split())
    workspaces = memory.workspace + THREADS * memory.thread_workspace
    return {
        "network": spec, "algorithm": algorithm, "weights": round(memory.weights / MB, 1),
        "arena": round(memory.arena / MB, 1), "workspaces": round(workspaces / MB, 1),
        "planned": round((memory.weights + memory.arena + workspaces) / MB, 1), "loading": loading, "running": running,
    }  # fmt: skip


if __name__ == "__main__":
    main()
