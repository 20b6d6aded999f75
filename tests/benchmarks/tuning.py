"""Auto-scheduling: candidates per second, tuned networks against untuned ones and ONNX Runtime, and transfer.

Claim: of a 3x3 layer of ResNet18, 7.1 candidates are built and measured per second, 12 times as many as by
MetaSchedule's own builder and runner (0.59). Tuned networks take this much of the time of untuned ones:

    network      winograd  direct  the best untuned and tuned, to ONNX Runtime
    resnet18     0.71      0.90    winograd 0.89  winograd 0.62
    vgg16        0.56      0.83    direct 1.02    winograd 0.67
    mobilenetv1  0.85      0.90    direct 0.95    winograd 0.82
    mobilenetv2  0.97      0.95    direct 0.83    direct 0.79
    mean         0.76      0.89    0.92           0.72

after 600 candidates of the template, in 90 to 216 s a network; another run made 0.74 and 0.65 of ResNet18 and VGG16
with winograd. Before that could derive kernels, it took 0.75, 0.76, 0.88 and 0.90 on the same machine, and 0.72, 0.71,
0.89 and 0.95 on another day: what a tuned network takes varies by some percent, an untuned one's time by a quarter.
MobileNets have nothing for Winograd, whose layers run as spatial_pack there. With gemm and spatial_pack, 300 candidates
that were timed behind a copy of memory, before they could ask for blocks, made 0.89 and 0.92 in the mean. 300 generated
schedules of direct, which ask for nothing ahead, made 0.95 of ResNet18's time and 0.99 of MobileNetV2's; these are of
that time, too. With what was on record of ResNet18, a tenth of the trials brought 0.11 of the time of a ResNet18 with a
third of its channels pruned, where full tuning from scratch brought 0.06 and a tenth from scratch 0.02.

ResNet18 and VGG16 gain as much as the host leaves them little of its L3 cache: their untuned times varied between 3.1
and 4.0 and between 2.8 and 3.7 ms with winograd. What bounds them is how fast transformed kernels arrive: a layer of
512 x 512 channels has 16.8 MB of them. Behind 96 MiB that are read in between, it takes 554 us by the rules, 331 with
kernels asked for 8 KiB ahead, and 260 to 285 with 9 of 16 elements read, on a map of 4x4; on one of 2x2 it takes 372 to
416, 307 to 321 and 193 to 202. To read 9.4 MB takes 170 to 200 us on both cores there. MobileNetV1's layers of
512 x 512 channels do 420 GFLOP/s tuned with all they read in the L2 cache, where multiply-adds on registers do 460; in
the network they take a fifth longer, as their weights come from the L3 cache and half of their input from the other
core. (The single layers and loops are no rows of this script: they were measured aside.) All on apache-tvm
0.27.0.post1, onnxruntime 1.32.0, 2 cores of a Xeon with AVX-512 and 2 MiB of L2 cache each.

On 2 cores of AMD Zen 4, 8.3 and 7.9 candidates of that layer are built and measured per second, 6.6 times as many as by
MetaSchedule's own (1.23; 48 candidates each). 300 candidates gain nothing there that shows: of untuned ResNet18 and
MobileNetV2 the tuned ones take 1.00 and 0.98 with winograd, 1.01 and 1.04 with direct (8 rounds), where 0.95 and
0.96, 0.94 and 0.92 are expected from the sums over their layers.

What is faster layer by layer need not be as a network. Of four small stacks on 2 threads of Zen 4, after 32 candidates:

    stack                           layers faster  tuned to untuned      sessions  tuning  confirming
    resnet18 x1, direct             2 of 16        0.986 [0.966, 1.007]  8         65 s    13 s
    resnet18 x1, spatial_pack       9 of 16        1.031 [1.006, 1.057]  3         45 s     3 s
    mobilenetv2 x0.25, direct       12 of 28       0.999 [0.988, 1.010]  8         39 s     6 s
    mobilenetv2 x0.25, spatial_pack 7 of 28        0.992 [0.972, 1.013]  8         37 s     4 s

(kind `confirm`, one run, with a spread of 1 % before a stack's own sessions; with direct, 2 of 8 sessions were
disturbed). None is confirmed: all have the untuned library, whose latency is theirs.

Sample: `rate` builds and measures as many candidates of one 3x3 layer of ResNet18 with our builders and runner and
with MetaSchedule's own LocalBuilder and RPCRunner, all on 2 cores and one server of TVM. The peers' workers import
TVM's intrinsics for every batch, 20 to 50 s, so their time-out is raised from 30 s to 600 s: without that no
candidate is built at all. `network` tunes every algorithm on every network in a database of its own, at most --trials
candidates and --seconds seconds each, and lets untuned and tuned libraries and ONNX Runtime take turns. `transfer`
tunes ResNet18 with a third of its channels pruned from scratch, and again with a tenth of the trials and ResNet18's
database. `caches` compares what kernels take in a network and by themselves, behind memory that is read between runs.
`confirm` takes small stacks of the networks' models, at two widths, down the explorer's line, untuned and tuned.
The figures are of one run of 12 rounds of 3 timed runs, of libraries loaded three times.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from explorer.core.artifact import Artifact
from explorer.line import contracts
from explorer.line.contracts.on_device import Address
from explorer.line.stage import Stage
from explorer.processes.pool import Worker, temporary
from tests.benchmarks import engines, networks, tuning_caches, tuning_confirmed, zoo
from tests.benchmarks.common import (
    Contender,
    Row,
    environment,
    geometric_mean,
    interleave,
    print_table,
    summary,
    write_json,
)
from tests.boards import board

NETWORKS = ("resnet18@32", "vgg16@32", "mobilenetv1@32", "mobilenetv2@32")
ALGORITHMS = ("direct", "gemm", "spatial_pack", "winograd")
RESNET18, PRUNED = "resnet18@32", "resnet18-pruned@32"
KEY = "tuned"

# Times that the libraries are loaded anew: where its weights lie in memory changes a network's time by some percent.
LOADS = 3


class Tuning:
    """The stages lower, tune and build, each in its worker, on a loopback device.

    Parameters
    ----------
    folder
        For all that they leave behind.
    """

    def __init__(self, worker: Worker, tracker: str, threads: int, folder: Path) -> None:
        self._worker, self._threads, self._folder = worker, threads, folder
        self.tracker = tracker
        target = worker.request({"call": "dlas_ops.processor.targets:native_target", "arguments": {}})
        self.target = {**target, "num-cores": threads}

    def lower(self, network: Path, algorithm: str) -> Path:
        """Return the folder of the lowered network whose network.onnx lies in the folder `network`."""
        asked = contracts.lower.Parameters(algorithm, "dense", "float32", self.target)
        parents = contracts.lower.Parents(Artifact("network", "", network))
        return self._run(contracts.lower.Stage(asked, parents))[1]

    def tune(
        self, lowered: Path, tuner: str, trials: int, seconds: int, database: Path
    ) -> tuple[Mapping[str, Any], Path]:
        """Return what the stage `tune` says of itself, and its folder."""
        asked = contracts.tune.Parameters(
            tuner, trials, seconds, self.target, self._threads, KEY, str(database),
            address=Address(tracker=self.tracker, key=KEY),
        )  # fmt: skip
        return self._run(contracts.tune.Stage(asked, contracts.tune.Parents(Artifact("lower", "", lowered))))

    def build(self, lowered: Path, tuned: Path | None = None) -> Path:
        """Return the library."""
        parents = contracts.build.Parents(
            Artifact("lower", "", lowered), Artifact("tune", "", tuned) if tuned else None
        )
        stage = contracts.build.Stage(contracts.build.Parameters(self.target), parents)
        return self._run(stage)[1] / "network.tar"

    def _run(self, stage: Stage) -> tuple[Mapping[str, Any], Path]:
        out = Path(tempfile.mkdtemp(prefix=f"{stage.name}-", dir=self._folder))
        return self._worker.request({**stage.as_json(), "out": str(out)}), out


def rate(spec: str, tuning: Tuning, folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """Return candidates per second of our builders and runner and of MetaSchedule's, on a layer of ResNet18."""
    network = arguments.models / RESNET18
    networks.prepare(RESNET18, network, set(), int8=False)
    asked = {
        "lowered": str(tuning.lower(network, "direct")), "target": tuning.target, "tracker": tuning.tracker,
        "key": KEY, "threads": arguments.threads, "folder": str(folder), "count": arguments.candidates,
    }  # fmt: skip
    rows = []
    for builder in ("explorer", "metaschedule", "explorer"):
        with temporary("tvm", f"rate-{builder}", folder) as worker:
            call = f"tests.benchmarks.tuning_rate:{builder}"
            measured = worker.request({"call": call, "arguments": asked})
        rows.append({"kind": "rate", "builder": builder, **measured})
    return rows


def network_rows(spec: str, tuning: Tuning, folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """Return a row for every algorithm and tuner on one network, untuned and tuned."""
    network = arguments.models / spec
    networks.prepare(spec, network, set(), int8=False)
    libraries: dict[str, Path] = {}
    facts: dict[str, Row] = {}
    for algorithm in arguments.algorithms:
        lowered = tuning.lower(network, algorithm)
        libraries[algorithm] = tuning.build(lowered)
        facts[algorithm] = {"algorithm": algorithm, "tuner": "", "trials": 0, "seconds": 0.0, "failed": ""}
        for tuner in arguments.tuners:
            start = time.monotonic()
            values, tuned = tuning.tune(
                lowered, tuner, arguments.trials, arguments.seconds, folder / "database" / spec / algorithm
            )
            seconds = time.monotonic() - start
            name = f"{algorithm} {tuner}"
            libraries[name] = tuning.build(lowered, tuned)
            failed = ", ".join(f"{count} {cause}" for cause, count in values["failed"].items())
            facts[name] = {
                "algorithm": algorithm, "tuner": tuner, "trials": values["trials"], "seconds": round(seconds, 1),
                "failed": failed,
            }  # fmt: skip
            print(f"{spec} {name}: {values}", flush=True)
    return _compared(spec, network, libraries, facts, arguments, lambda name: name.partition(" ")[0])


def transfer_rows(spec: str, tuning: Tuning, folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """Return rows of ResNet18 with pruned channels: untuned, tuned in full, and with a tenth of the trials."""
    algorithm, trials = arguments.transfer, arguments.trials
    source, pruned = arguments.models / RESNET18, arguments.models / PRUNED
    networks.prepare(RESNET18, source, set(), int8=False)
    if not zoo.onnx_path(pruned).exists():
        pruned.mkdir(parents=True, exist_ok=True)
        engines.in_process(zoo.export_pruned, RESNET18, pruned)
    lowered = tuning.lower(pruned, algorithm)
    libraries = {"untuned": tuning.build(lowered)}
    facts: dict[str, Row] = {"untuned": {"algorithm": algorithm, "tuner": "", "trials": 0, "best_to_rules": ""}}
    for tuner in arguments.tuners:
        known = folder / tuner / "known"
        tuning.tune(tuning.lower(source, algorithm), tuner, trials, arguments.seconds, known)
        runs = {
            "in full": (trials, folder / tuner / "fresh"),
            "a tenth": (trials // 10, folder / tuner / "none"),
            "a tenth, transferred": (trials // 10, known),
        }
        for name, (budget, database) in runs.items():
            values, tuned = tuning.tune(lowered, tuner, budget, arguments.seconds, database)
            libraries[f"{tuner} {name}"] = tuning.build(lowered, tuned)
            facts[f"{tuner} {name}"] = {
                "algorithm": algorithm, "tuner": tuner, "trials": values["trials"],
                "best_to_rules": _best_to_rules(tuned),
            }  # fmt: skip
    rows = _compared(PRUNED, pruned, libraries, facts, arguments, lambda name: "untuned")
    times = {row["engine"]: row["median_ms"] for row in rows}
    for row in rows:
        full = times["untuned"] - times.get(f"{row['tuner']} in full", 0.0)
        row["kind"] = "transfer"
        row["share_of_gain"] = round((times["untuned"] - row["median_ms"]) / full, 3)
    return rows


def caches_rows(spec: str, tuning: Tuning, folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """Return what the kernels of one network take in it and by themselves; see `tuning_caches`."""
    network = arguments.models / spec
    networks.prepare(spec, network, set(), int8=False)
    rows: list[Row] = engines.in_process(tuning_caches.rows, spec, network, arguments.transfer, arguments.threads)
    return rows


def confirm_rows(spec: str, tuning: Tuning, folder: Path, arguments: argparse.Namespace) -> list[Row]:
    """Return what the explorer's line makes of small stacks of all networks; see `tuning_confirmed`."""
    given = arguments.networks, arguments.algorithms, arguments.trials, arguments.threads
    return tuning_confirmed.rows(*given, folder)


def _best_to_rules(tuned: Path) -> float:
    """Return the geometric mean over the layers of the fastest candidate's time as a share of the rules' schedule's."""
    rows = json.loads((tuned / "tuned.json").read_text())
    return round(geometric_mean([row["candidate_ms"] / row["rule_ms"] for row in rows if row["candidate_ms"]]), 3)


def _compared(
    spec: str,
    folder: Path,
    libraries: dict[str, Path],
    facts: Mapping[str, Row],
    arguments: argparse.Namespace,
    untuned: Callable[[str], str],
) -> list[Row]:
    """Let the libraries and ONNX Runtime take turns; return a row for each library.

    `untuned` gives the name of the library that one is compared with.
    """
    times: dict[str, list[float]] = {}
    for _ in range(LOADS):
        contenders = [
            Contender(engines.onnxruntime, spec, arguments.threads, folder, "float32"),
            Contender(engines.dlas, spec, arguments.threads, libraries),
        ]
        try:
            for name, own in interleave(contenders, -(-arguments.rounds // LOADS), 0.15, 3).items():
                times.setdefault(name, []).extend(own)
        finally:
            for contender in contenders:
                contender.close()
    medians = {name: summary(samples)["median_ms"] for name, samples in times.items()}
    return [
        {
            "kind": "network", "network": spec, "engine": name, **facts[name], **summary(times[name]),
            "ratio_to_onnxruntime": round(medians[name] / medians["onnxruntime"], 3),
            "ratio_to_untuned": round(medians[name] / medians[untuned(name)], 3),
        }
        for name in libraries
    ]  # fmt: skip


def print_summary(rows: list[Row]) -> None:
    """Print what the claims are about."""
    found = [row for row in rows if row["kind"] == "network"]
    for tuned in (False, True):
        best = []
        for spec in dict.fromkeys(row["network"] for row in found):
            own = [row for row in found if row["network"] == spec and bool(row["tuner"]) == tuned]
            if own:
                best.append(min(own, key=lambda row: float(row["median_ms"])))
        if best:
            mean = geometric_mean([row["ratio_to_onnxruntime"] for row in best])
            winners = ", ".join(f"{row['network']} {row['engine']} {row['ratio_to_onnxruntime']}" for row in best)
            print(f"best {'tuned' if tuned else 'untuned'}: {mean:.3f} x ONNX Runtime ({winners})")
    for name in dict.fromkeys(row["engine"] for row in found if row["tuner"]):
        ratios = [row["ratio_to_untuned"] for row in found if row["engine"] == name]
        print(f"{name}: {geometric_mean(ratios):.3f} x untuned ({', '.join(map(str, ratios))})")


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=["rate", "network", "transfer", "caches", "confirm"])
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME@SIZE", help="see zoo.py")
    parser.add_argument("--algorithms", nargs="+", default=ALGORITHMS)
    parser.add_argument("--tuners", nargs="+", default=["template"])
    parser.add_argument("--trials", type=int, default=600, help="candidates per network")
    parser.add_argument("--seconds", type=int, default=1200, help="per network, at most")
    parser.add_argument("--candidates", type=int, default=16, help="of the rate")
    parser.add_argument("--transfer", default="winograd", help="algorithm of transfer and caches")
    parser.add_argument("--rounds", type=int, default=15, help="turns of every engine")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", type=Path, metavar="FOLDER", help="keep the ONNX files here, take them from here")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write environment and rows to this file")
    arguments = parser.parse_args()
    facts = environment()
    print(f"{facts['cpu']}, {facts['cores']} cores, {facts['versions']}")
    rows: list[Row] = []
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads]
    with tempfile.TemporaryDirectory() as temporary_folder:
        folder = Path(temporary_folder)
        arguments.models = arguments.models or folder / "models"
        makers: dict[str, Callable[[str, Tuning, Path, argparse.Namespace], list[Row]]]
        makers = {
            "rate": rate,
            "network": network_rows,
            "transfer": transfer_rows,
            "caches": caches_rows,
            "confirm": confirm_rows,
        }
        for kind, spec in product(arguments.kinds, arguments.networks):
            if kind != "network" and spec != arguments.networks[0]:
                continue
            own = Path(tempfile.mkdtemp(dir=folder))
            with (
                board(KEY, cores, own / "server.log") as tracker,
                temporary("tvm", "tuning", own) as worker,
            ):
                made = makers[kind](spec, Tuning(worker, tracker, arguments.threads, own), own, arguments)
            print_table(made)
            rows += made
            if arguments.json:
                write_json(arguments.json, facts, rows)
            shutil.rmtree(own, ignore_errors=True)
    print_summary(rows)


if __name__ == "__main__":
    main()
