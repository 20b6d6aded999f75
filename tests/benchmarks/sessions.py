"""Why a latency differs from session to session: what is of the load, what of the moment, and what can be removed.

Claim: on a virtual machine of 2 cores (AMD EPYC of family 25, model 17: Zen 4, under KVM) the spread is of the moment.
Three libraries were loaded four times each and measured 8 times in turns: moments differ by 3 to 6 % (standard
deviation) on one thread and by 3 to 16 % on two; no difference between loads shows, where one of 1 to 6 % would not.
The host moves the cores apart and together again: in 3 minutes two threads needed 0.77 microseconds to begin and end a
program without work for 84 % of the time, 47 s at a stretch, and 1.71 for the rest, up to 18 s at a stretch. Then
MobileNetV2 takes 1.75 ms in place of 0.96, and VGG16, whose weights come from memory, 2.9 in place of 3.5. At other
moments arithmetic in registers takes twice its time, as if the host ran both cores on one of its own. It reports steal
beside none of these measurements. Without the moments that the control tells, MobileNetV2 on two threads spreads by
1.8 % in place of 16, VGG16 by 13 in place of 15. Huge pages, one heap for all memory and TVM's own binding of threads
change nothing that shows beside that. Pinning does at the start: without it, 1 to 5 of 8 sessions began with both
threads on one core, bound by TVM 7 and 8 of 8, pinned none; with it the first inference took 1.4 and 2.2 ms, without
2.1 and 3.0.
A turn that begins while the threads of the one before still spin takes 3.8 times as long (apache-tvm 0.27.0.post1).

``--kind moments`` keeps several loads of each library open in servers of their own, measures them in turns, each time
between two runs of the control, and parts the variance of the logarithms into that within and between loads; what the
mean of a load's measurements leaves open is "unresolved". "quiet" is without the measurements that the control tells to
be disturbed (`explorer.core.measurement.sessions`), "disturbed" has those. ``--kind placement`` looks at where the
cores are, and ``--kind settings`` loads each library anew, again and again, in servers with other settings. The figures
are of ``--loads 4 --rounds 8 --wait 0.2``; of ``--kind placement --seconds 180``; of ``--kind settings --rounds 8
--threads 2`` with MobileNetV1 and MobileNetV2; and of ``--threads 2 --rounds 5 --wait 0`` with MobileNetV1 (7.4 ms, and
1.96 without ``--wait 0``). What the networks take while the cores are apart was read off single sessions, by the
control's readings beside them; no command prints it.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from statistics import mean, median, variance
from typing import Any

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from explorer.core.measurement.sessions import LIMITS, Readings, disturbance, usual
from explorer.processes import loopback
from tests.benchmarks import engines, zoo
from tests.benchmarks.common import Row, environment, print_table, write_json
from tests.benchmarks.engines import Variant

NETWORKS = ("mobilenetv1@32/direct", "mobilenetv2@32/spatial_pack", "vgg16@32/winograd")
CORES = sorted(os.sched_getaffinity(0))
HUGE_PAGES = "glibc.malloc.hugetlb=1"
ONE_HEAP = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=4294967296:glibc.malloc.arena_max=1"
# Name → variables of the server, beside those of every one.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "as it is": {},
    "pinned": {},
    "bound by TVM": {"TVM_BIND_THREADS": "1"},
    "huge pages": {"GLIBC_TUNABLES": HUGE_PAGES},
    "one heap": {"GLIBC_TUNABLES": ONE_HEAP},
    "one heap of huge pages": {"GLIBC_TUNABLES": f"{HUGE_PAGES}:{ONE_HEAP}"},
}
SAMPLES, SAMPLE_SECONDS = 12, 0.005
LOOK_SECONDS = 0.2  # between two looks at where the cores are


def prepared(spec: str, folder: Path) -> Path:
    """Compile "network@size/algorithm" and return its library."""
    network, _, algorithm = spec.partition("/")
    own = folder / spec.replace("/", "-")
    own.mkdir()
    engines.in_process(zoo.export, network, own, frozenset({0.0}))
    library = own / f"{own.name}.tar"
    engines.in_process(engines.compile_library, own, Variant.parse(algorithm), len(CORES), library)
    return library


class Load:
    """A library loaded in a session of its own."""

    def __init__(self, tracker: str, library: Path, control: Path, threads: int, pinned: bool) -> None:
        from dlas_ops._tvm import tvm
        from explorer.line.device import rpc
        from tests.benchmarks import session_cores

        session, self.control = controlled(tracker, control, threads, pinned)
        self._threads = threads
        self.cores = session_cores.cores(session, control.with_name(session_cores.LIBRARY), threads)
        self._device = session.cpu()
        self._network = tvm.relax.VirtualMachine(session.load_module(rpc.place(session, library)), self._device)
        self._image = tvm.runtime.tensor(engines.image(library.stem.partition("-")[0]), self._device)
        self.first_ms = self._timed(1, 1)[0]

    def measured(self) -> Row:
        """Return the median latency and the slower of the control's readings around it, and steal in ticks."""
        stolen = _steal()
        number = max(1, round(SAMPLE_SECONDS / (1e-3 * min(self._timed(1, 3)))))
        self._timed(number, SAMPLES // 2)
        before = self._readings()
        self._timed(number, 1)  # its weights are back in the caches
        latency = median(self._timed(number, SAMPLES))
        slower = Readings(*(max(a, b) if a and b else None for a, b in zip(before, self._readings(), strict=True)))
        return {"ms": latency, "readings": slower, "steal": _steal() - stolen}

    def _readings(self) -> Readings:
        wake = self.control.wake_us() if self._threads > 1 else None
        return Readings(self.control.arithmetic_ms(), wake, self.control.memory_ms())

    def _timed(self, number: int, repeat: int) -> list[float]:
        timer = self._network.time_evaluator("main", self._device, number=number, repeat=repeat)
        return [1e3 * seconds for seconds in timer(self._image).results]


def controlled(tracker: str, control: Path, threads: int, pinned: bool) -> tuple[Any, Any]:
    """Return a session on the device and the control in it."""
    from explorer.line.device import rpc
    from explorer.line.device.control import Control

    session = rpc.connect(tracker, "local", 600)
    rpc.set_threads(session, threads, "measure", "local")
    own = Control(session, session.load_module(rpc.place(session, control)), threads)
    if pinned:
        own.pin(CORES)
    return session, own


def _steal() -> int:
    """Return the ticks that the host has taken from this machine's cores, by its own account."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8])


def moments(libraries: Mapping[str, Path], control: Path, folder: Path, given: argparse.Namespace) -> list[Row]:
    """Return rows of loads that were kept open and measured in turns."""
    rows: list[Row] = []
    for threads in given.threads:
        for spec, library in libraries.items():
            with ExitStack() as servers:
                trackers = [
                    servers.enter_context(loopback.server("local", CORES, folder / f"{i}.log"))
                    for i in range(given.loads)
                ]
                loads = [Load(tracker, library, control, threads, pinned=True) for tracker in trackers]
                found: list[Row] = []
                for _ in range(given.rounds):
                    for number, load in enumerate(loads):
                        time.sleep(given.wait)
                        found.append({"load": number, **load.measured()})
                del loads, load  # or their sessions would outlive the servers
            before = len(rows)
            rows += [{"kind": "moments", "network": spec, "threads": threads, **row} for row in parted(found)]
            print_table(rows[before:])
    return rows


def parted(found: Sequence[Row]) -> list[Row]:
    """Return rows of all measurements, the quiet ones and the others, with their spread within and between loads."""
    known = usual(row["readings"] for row in found)
    rows: list[Row] = []
    parts = {
        "all": found,
        "quiet": [row for row in found if not disturbance(row["readings"], known)],
        "disturbed": [row for row in found if disturbance(row["readings"], known)],
    }
    for which, own in parts.items():
        if not own:
            continue
        by_load = [
            [math.log(row["ms"]) for row in group]
            for _, group in groupby(sorted(own, key=lambda row: row["load"]), key=lambda row: row["load"])
        ]
        several = [load for load in by_load if len(load) > 1]
        within = between = unresolved = math.nan
        if len(several) > 1:
            within = mean(variance(load) for load in several)
            unresolved = within / mean(map(len, several))  # variance of the mean of a load's measurements
            between = max(0.0, variance(map(mean, several)) - unresolved)
        latencies = [row["ms"] for row in own]
        rows.append({
            "which": which, "measurements": len(own),
            "least_ms": round(min(latencies), 3), "median_ms": round(median(latencies), 3),
            "most_ms": round(max(latencies), 3), "percent_within_loads": round(100 * math.sqrt(within), 1),
            "percent_between_loads": round(100 * math.sqrt(between), 1),
            "percent_unresolved": round(100 * math.sqrt(unresolved), 1),
            **{name: _range(own, name) for name in ("arithmetic_ms", "wake_us", "memory_ms")},
            "with_steal": sum(row["steal"] > 0 for row in own),
        })  # fmt: skip
    return rows


def _range(rows: Sequence[Row], name: str) -> str:
    readings = [getattr(row["readings"], name) for row in rows if getattr(row["readings"], name) is not None]
    return f"{min(readings):.2f} to {max(readings):.2f}" if readings else ""


def placement(libraries: Mapping[str, Path], control: Path, folder: Path, given: argparse.Namespace) -> list[Row]:
    """Return one row: how long the cores stay near each other, by what two threads take to meet."""
    looks: list[tuple[float, float]] = []
    with loopback.server("local", CORES, folder / "placement.log") as tracker:
        session, own = controlled(tracker, control, len(CORES), pinned=True)
        begun = time.monotonic()
        while time.monotonic() - begun < given.seconds:
            looks.append((time.monotonic() - begun, own.wake_us()))
            time.sleep(LOOK_SECONDS)
        del session, own
    least = min(wake for _, wake in looks)
    stays: dict[bool, list[float]] = {True: [], False: []}
    for apart, group in groupby(looks, key=lambda look: look[1] > LIMITS["wake_us"] * least):
        times = [when for when, _ in group]
        stays[apart].append(times[-1] - times[0] + LOOK_SECONDS)
    near, far = ([wake for _, wake in looks if (wake > LIMITS["wake_us"] * least) == apart] for apart in (False, True))
    row = {
        "kind": "placement", "threads": len(CORES), "seconds": round(sum(map(sum, stays.values()))),
        "near_us": round(median(near), 2), "apart_us": round(median(far), 2) if far else None,
        "share_apart": round(len(far) / len(looks), 2), "changes": sum(map(len, stays.values())) - 1,
        "longest_near_s": round(max(stays[False])), "longest_apart_s": round(max(stays[True], default=0)),
    }  # fmt: skip
    print_table([row])
    return [row]


def settings(libraries: Mapping[str, Path], control: Path, folder: Path, given: argparse.Namespace) -> list[Row]:
    """Return rows of loads in turns in servers of other settings."""
    found: dict[tuple[str, int, str], list[Row]] = {}
    with ExitStack() as servers:
        trackers = {
            name: servers.enter_context(loopback.server("local", CORES, folder / f"{name}.log", own))
            for name, own in SETTINGS.items()
        }
        for _ in range(given.rounds):
            for threads in given.threads:
                for spec, library in libraries.items():
                    for name, tracker in trackers.items():
                        load = Load(tracker, library, control, threads, pinned=name == "pinned")
                        row = {**load.measured(), "first": load.first_ms, "alone": len(set(load.cores)) == threads}
                        found.setdefault((spec, threads, name), []).append(row)
                        del load
    rows: list[Row] = []
    for (spec, threads, name), own in found.items():
        latencies = sorted(row["ms"] for row in own)
        rows.append({
            "kind": "settings", "network": spec, "threads": threads, "setting": name, "loads": len(own),
            "least_ms": round(latencies[0], 3), "median_ms": round(median(latencies), 3),
            "most_ms": round(latencies[-1], 3), "first_ms": round(median(row["first"] for row in own), 3),
            "began_on_one_core": sum(not row["alone"] for row in own),
        })  # fmt: skip
    print_table(rows)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=("moments", "settings", "placement"), default="moments")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, metavar="NAME@SIZE/ALGORITHM")
    parser.add_argument("--threads", nargs="+", type=int, default=(1, 2))
    parser.add_argument("--loads", type=int, default=6, help="of a library at once, with --kind moments")
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--wait", type=float, default=0.4, help="seconds before a turn, with --kind moments")
    parser.add_argument("--seconds", type=float, default=300, help="with --kind placement")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        libraries = {spec: prepared(spec, folder) for spec in given.networks if given.kind != "placement"}
        control = engines.in_process(_control, folder)
        kind: Any = {"moments": moments, "settings": settings, "placement": placement}[given.kind]
        rows = engines.in_process(_measured, kind, libraries, control, folder, given)
    if given.json:
        write_json(given.json, environment(), rows)


def _control(folder: Path) -> Path:
    from dlas_ops import control
    from dlas_ops._tvm import tvm
    from dlas_ops.processor.targets import native_target
    from explorer.line.device.control import LIBRARY
    from tests.benchmarks import session_cores

    session_cores.build(folder)
    control.build(tvm.target.Target(native_target())).export_library(str(folder / LIBRARY))
    return folder / LIBRARY


def _measured(kind: Any, *arguments: Any) -> list[Row]:
    from explorer.processes.worker import without_torch

    without_torch()
    rows: list[Row] = kind(*arguments)
    return rows


if __name__ == "__main__":
    main()
