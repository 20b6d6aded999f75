"""The times of a network's layers add up to its latency, within 5 %, and a compressed one's causes to the gap.

Networks of the zoo, with weights that nobody trained, go down the stages lower, build, instrument and profile, and are
timed over RPC on a loopback server. Row: network, variant, algorithm, threads, the network's latency and the sum of its
layers, and their ratio (asked: 0.95 to 1.05); of a pruned variant also the share of the unpruned one's time expected
from its work, what it takes, and the cause of most of the gap.

    python tests/benchmarks/layer_times.py --networks resnet18@32 mobilenetv2@32 vgg16@32 --json FILE
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from explorer.core.artifact import Artifact
from explorer.line.contracts import build, control, instrument, lower, profile
from explorer.line.contracts.on_device import Address
from explorer.line.stage import Stage
from tests.benchmarks import zoo
from tests.benchmarks.common import Row, environment, print_table, write_json
from tests.benchmarks.engines import in_process

DENSE, PRUNED = "dense", "pruned"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["resnet18@32", "mobilenetv2@32", "vgg16@32"])
    parser.add_argument("--algorithms", nargs="+", default=["spatial_pack"])
    parser.add_argument("--sparsity", type=float, default=0.8, help="share of weights that the pruned variants lack")
    parser.add_argument("--threads", nargs="+", type=int, default=[2])
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    with TemporaryDirectory() as scratch:
        for spec in given.networks:
            folder = Path(scratch) / spec
            folder.mkdir()
            in_process(zoo.export, spec, folder, frozenset({given.sparsity}))
            for threads in given.threads:
                for algorithm in given.algorithms:
                    rows += in_process(_rows, spec, folder, algorithm, given.sparsity, threads, given.sessions)
    print_table(rows)
    if given.json:
        write_json(given.json, environment(), rows)


def _rows(spec: str, folder: Path, algorithm: str, sparsity: float, threads: int, sessions: int) -> list[Row]:
    """Return the rows of one network: dense, pruned and stored dense, pruned and in csr."""
    return list(_profiled(spec, folder, algorithm, sparsity, threads, sessions))


def _profiled(spec: str, folder: Path, algorithm: str, sparsity: float, threads: int, sessions: int) -> Iterator[Row]:
    from explorer.processes import loopback
    from explorer.profiles.explanation import explanation

    base = None
    with loopback.server("profile", loopback.own_cores()[:threads], folder / "server.log") as tracker:
        for variant, share, format in ((DENSE, 0.0, "dense"), (PRUNED, sparsity, "dense"), (PRUNED, sparsity, "csr")):
            model = zoo.onnx_path(folder, share)
            found = _profile(model, folder / f"{variant}-{format}", algorithm, format, threads, sessions, tracker)
            row: Row = {
                "network": spec,
                "variant": f"{variant}/{format}",
                "algorithm": algorithm,
                "threads": threads,
                "network_ms": round(found.network_ms.value, 4),
                "layers_ms": round(found.layers_ms.value, 4),
                "layers_over_network": round(found.layers_ms.value / found.network_ms.value, 4),
                "sessions": found.sessions,
                "disturbed": found.disturbed,
            }
            base = base or found
            held = explanation(found, base, 1, 0)
            causes = held.shares if variant == PRUNED else []
            yield row | {
                "expected": round(held.versus.expected, 3) if causes else None,
                "achieved": round(held.versus.achieved.value, 3) if causes else None,
                "cause": causes[0].cause if causes else None,
            }


def _profile(model: Path, folder: Path, algorithm: str, format: str, threads: int, sessions: int, tracker: str) -> Any:
    """Take an ONNX network down the stages to its profile on the device at `tracker`."""
    import numpy as np
    import onnx

    from dlas_ops.processor.targets import native_target
    from explorer.core.settings import MeasureSettings
    from explorer.line.checking.reference import Reference
    from explorer.profiles.profile import load

    folder.mkdir(parents=True)
    read = onnx.load(model)
    onnx.save(read, folder / "network.onnx")
    shape = [size.dim_value for size in read.graph.input[0].type.tensor_type.shape.dim]
    images = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    Reference(images, np.zeros((len(images), 10), np.float32)).save(folder)
    network, target, protocol = Artifact("compress", "network", folder), native_target(), MeasureSettings()
    asked = lower.Parameters(algorithm, format, "float32", target)
    lowered = _execute(lower.Stage(asked, lower.Parents(network)), folder)
    built = _execute(build.Stage(build.Parameters(target), build.Parents(lowered)), folder)
    noting = instrument.Stage(instrument.Parameters(target), instrument.Parents(network, lowered))
    programs = _execute(control.Stage(control.Parameters(target), control.Parents()), folder)
    sampling = profile.Parameters(
        threads, protocol.samples, protocol.sample_ms, protocol.warmup_ms, sessions, "local",
        address=Address(tracker=tracker, key="profile"),
    )  # fmt: skip
    parents = profile.Parents(network, lowered, built, _execute(noting, folder), programs)
    return load(_execute(profile.Stage(sampling, parents), folder).path, "local")


def _execute(stage: Stage, folder: Path) -> Artifact:
    """Run one stage as a worker does."""
    from explorer.core import plugins

    out = folder / stage.name
    out.mkdir()
    return Artifact(
        stage.name, stage.name, out, plugins.load("stage", stage.name).run(stage.parameters, stage.parents, out)
    )


if __name__ == "__main__":
    main()
