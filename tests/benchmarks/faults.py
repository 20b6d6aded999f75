"""Faults by a seeded generator, in every stage, process and kind → what each did to a study that then ran to its end.

Claim: a study loses no trial, executes nothing twice that was published, has the values of an undisturbed run, and
shows no traceback, whatever of it is killed, stopped, starved of memory or disk, or damaged.

Of 300 that were tried (seed 0, in two parts beside each other, two cores of an AMD EPYC of Zen 4, 2026-11-30; Python
3.11, apache-tvm 0.27, torch 2.14) all found what they were for and 297 were survived. Three were not, and survive since
they are mended: a library that was cut off on its way to a device with a full disk, the damaged file of what is known
of code, and two threads that held one lock, whose file one of them had removed. No trial had other values, and no run
took 60 s too long.

A fault strikes a run of a small study when one of its stages begins. What made it is undone where a user would have
undone it, such as by making room on a disk, and the same command is given until it ends with 0. A row for each stage,
process and kind:

tried: faults that found what they were for; missed: those that did not, such as a process that had ended already.
survived: of those tried, with none of the following.
lost: trials that are not complete in the end. twice: stages executed again after their artifact was published.
wrong: trials with other values than in the undisturbed run; of stacks that timing chose kernels for, those that do not
depend on the choice. tracebacks: runs that showed one. hangs: runs that took over 60 s more than the undisturbed one.
runs: commands after the first until one ended with 0, of the fault that took most.

Files are damaged after a kill, three at once, each of another folder of the workspace and of every kind but the study's
database, which only a copy mends: tests/explorer/workspace holds what is said of it. As root, disks are mounted and
folders are made immutable; without, those kinds are left out.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from explorer.core import plugins
from tests.benchmarks.common import Row, environment, print_table, write_json
from tests.faults import board, spaces, strikes
from tests.faults.board import Proxy
from tests.faults.commands import HANG_SECONDS, Ended, Strike, run
from tests.faults.judging import Judged, judged

ON_DEVICE = ("select", "tune", "confirm", "measure")
SIGNALS = {"killed": signal.SIGKILL, "terminated": signal.SIGTERM, "stopped": signal.SIGSTOP}
MOST_RUNS = 5  # of a command after the first
LONGEST_DELAY = {"data": 3.0, "train": 1.0, "compress": 0.5, "tune": 3.0}  # seconds; 0.3 in other stages
FULL_SECONDS = 1.5
RAY_STAGES = ("train", "build", "measure")


@dataclass(frozen=True)
class Fault:
    """A kind of fault, and where it strikes.

    Parameters
    ----------
    process
        That is struck, or ``"disk"``, ``"temporary folder"``, ``"files"``, or a board's ``"tracker"`` or ``"board"``.
    delay
        Seconds after the stage has begun.
    seed
        By which files are damaged.
    """

    stage: str
    process: str
    kind: str
    engine: str = "local"
    delay: float = 0.0
    seed: int = 0


@dataclass
class Outcome:
    """What became of a study that a fault struck."""

    fault: Fault
    hit: bool
    lost: int = 0
    twice: int = 0
    wrong: int = 0
    tracebacks: int = 0
    hangs: int = 0
    runs: int = 0
    printed: str = ""

    @property
    def survived(self) -> bool:
        """Whether nothing was lost, repeated, wrong or in the user's face."""
        return not (self.lost or self.twice or self.wrong or self.tracebacks or self.hangs)


def kinds() -> Iterator[Fault]:
    """Yield every kind of fault."""
    for stage in (*spaces.STAGES["plain"], *spaces.STAGES["chosen"]):
        worker = plugins.literal("stage", stage, "WORKER")
        for process in ("main", worker, *(("server", "session") if stage in ON_DEVICE else ())):
            yield from (Fault(stage, process, kind) for kind in SIGNALS)
        yield Fault(stage, worker, "starved")
        if strikes.root():
            for process in ("disk", "temporary folder"):
                yield from (Fault(stage, process, kind) for kind in ("full", "full for a moment"))
            yield Fault(stage, "disk", "read-only")
        yield Fault(stage, "files", "damaged")
    yield from (Fault("tune", "builder", kind) for kind in SIGNALS)
    yield from (Fault(stage, process, "frozen") for stage in ON_DEVICE for process in ("server", "session"))
    yield from (Fault("measure", process, way) for way in board.WAYS for process in ("tracker", "board"))
    for stage in RAY_STAGES:
        yield from (Fault(stage, process, "killed", "ray") for process in ("main", "ray worker", "ray node"))


def drawn(count: int, seed: int) -> list[Fault]:
    """Return so many faults, each kind as often as any other."""
    generator, faults = random.Random(seed), list[Fault]()
    while len(faults) < count:
        faults += sorted(kinds(), key=lambda fault: generator.random())
    longest = (LONGEST_DELAY.get(fault.stage, 0.3) for fault in faults[:count])
    return [
        replace(fault, delay=generator.uniform(0, most), seed=number)
        for number, (fault, most) in enumerate(zip(faults, longest, strict=False))
    ]


class Bench:
    """Undisturbed workspaces of the two spaces, and faults struck on copies of what they had when a stage began."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._undisturbed: dict[tuple[str, str], tuple[Path, float]] = {}

    def struck(self, fault: Fault) -> Outcome:
        """Run a study with the fault, and then until it ends well."""
        space = "plain" if fault.stage in spaces.STAGES["plain"] else "chosen"
        device = board.KEY if fault.process in ("tracker", "board") else "local"
        whole, seconds = self._whole(space, device)
        with tempfile.TemporaryDirectory(dir=self._folder) as name, ExitStack() as stack:
            folder = Path(name)
            place = folder / "disk"
            if fault.process == "disk" and fault.kind != "read-only":
                stack.enter_context(strikes.disk(place))
            temporary = folder / "temporary"
            if fault.process == "temporary folder":
                stack.enter_context(strikes.disk(temporary))
            workspace = place / "workspace"
            spaces.before(fault.stage, whole, workspace)
            file, proxies = self._space(folder, space, device, stack)
            struck = strikes.Struck()
            damager = strikes.Damager(workspace, fault.seed, struck)
            strike, mend = _strike(fault, workspace, temporary, struck, damager, proxies)
            command = ["run", str(file), "--workspace", str(workspace), "--engine", fault.engine]
            limit = HANG_SECONDS + seconds * (1 if fault.engine == "local" else 4)
            given = {"TMPDIR": str(temporary)} if fault.process == "temporary folder" else {}
            ended = [run(command, folder, limit, fault.stage, strike, fault.delay, given)]
            mend()
            while ended[-1].code and len(ended) <= MOST_RUNS:
                ended.append(run(command, folder, limit, environment=given))
            return _outcome(fault, struck, ended, judged(workspace, whole, space, damager.keys))

    def _whole(self, space: str, device: str) -> tuple[Path, float]:
        """Return the workspace of an undisturbed run, and the seconds that it took."""
        if (space, device) not in self._undisturbed:
            folder = self._folder / f"{space}-{device}"
            folder.mkdir()
            with ExitStack() as stack:
                file, _ = self._space(folder, space, device, stack)
                ended = run(["run", str(file), "-w", str(folder / "w")], folder, 600)
            if ended.code:
                raise SystemExit(f"the undisturbed run failed:\n{ended.printed}")
            self._undisturbed[space, device] = folder / "w", ended.seconds
        return self._undisturbed[space, device]

    def _space(self, folder: Path, space: str, device: str, stack: ExitStack) -> tuple[Path, board.Board | None]:
        """Write the space into a folder; where it is for a board, serve that and write the devices file."""
        proxies = board.Board(folder, stack) if device == board.KEY else None
        if proxies:
            address = f"{board.HOST}:{proxies.tracker.port}"
            (folder / "devices.toml").write_text(f'[{board.KEY}]\ntracker = "{address}"\n')
        return spaces.write(folder, space, device), proxies


def _strike(
    fault: Fault,
    workspace: Path,
    temporary: Path,
    struck: strikes.Struck,
    damager: strikes.Damager,
    proxies: board.Board | None,
) -> tuple[Strike, Callable[[], None]]:
    """Return what strikes, and what mends it before the command is given again."""
    if fault.process == "files":
        return damager.kill, damager.damage
    if proxies:
        proxy: Proxy = getattr(proxies, "server" if fault.process == "board" else "tracker")
        return proxy.misbehave(fault.kind, struck), proxies.mend
    if fault.process in ("disk", "temporary folder"):
        if fault.kind == "read-only":
            artifacts = workspace / "artifacts"
            folders = [artifacts / name for name in (fault.stage, "tmp", "scratch", "locks")]
            return strikes.immutable(folders, struck)
        seconds = FULL_SECONDS if fault.kind == "full for a moment" else None
        return strikes.filled(workspace if fault.process == "disk" else temporary, struck, seconds)
    if fault.kind == "frozen":
        return strikes.signalled(fault.process, signal.SIGSTOP, struck, goes_on=False), lambda: None
    if fault.kind == "starved":
        return strikes.starved(fault.process, struck), lambda: None
    return strikes.signalled(fault.process, SIGNALS[fault.kind], struck), lambda: None


def _outcome(fault: Fault, struck: strikes.Struck, ended: list[Ended], left: Judged) -> Outcome:
    tracebacks, hangs = sum(each.has_traceback for each in ended), sum(each.hung for each in ended)
    printed = "\n--- again ---\n".join(each.printed for each in ended)
    if left.twice:
        printed += f"\nexecuted again: {', '.join(left.twice)}"
    counts = left.lost, len(left.twice), left.wrong, tracebacks, hangs, len(ended) - 1
    return Outcome(fault, struck.hit, *counts, printed)


def rows_of(outcomes: list[Outcome]) -> list[Row]:
    """Return a row for each stage, process and kind."""
    grouped: dict[tuple[str, str, str], list[Outcome]] = {}
    for each in outcomes:
        grouped.setdefault((each.fault.stage, each.fault.process, each.fault.kind), []).append(each)
    rows = []
    for (stage, process, kind), own in sorted(grouped.items()):
        hit = [each for each in own if each.hit]
        sums = {
            name: sum(getattr(each, name) for each in hit) for name in ("lost", "twice", "wrong", "tracebacks", "hangs")
        }
        rows.append(
            {
                "stage": stage,
                "process": process,
                "kind": kind,
                "tried": len(hit),
                "missed": len(own) - len(hit),
                "survived": sum(each.survived for each in hit),
                **sums,
                "runs": max((each.runs for each in hit), default=0),
            }
        )
    return rows


def main() -> None:
    """Strike, print the table and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="stage, process or kind to which faults are restricted", nargs="*", default=[])
    parser.add_argument("--part", default="1/1", metavar="K/N", help="the K-th of N parts of them alone, and its rows")
    parser.add_argument("--begin", type=int, default=0, help="the number of the first one")
    parser.add_argument("--keep", type=Path, help="folder for what was printed where a fault was not survived")
    parser.add_argument("--json", type=Path, help="write environment and rows to this file")
    given = parser.parse_args()
    faults = [
        each
        for each in drawn(given.count if not given.only else 10**4, given.seed)
        if set(given.only) <= {each.stage, each.process, each.kind, each.engine}
    ][: given.count]
    part, parts = map(int, given.part.split("/"))
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="dlas-faults-") as folder:
        bench = Bench(Path(folder))
        for number, fault in list(enumerate(faults))[part - 1 :: parts]:
            if number < given.begin:
                continue
            outcomes.append(outcome := bench.struck(fault))
            state = "survived" if outcome.survived else "NOT SURVIVED"
            print(f"{number} {asdict(fault)}: {state if outcome.hit else 'missed'}", file=sys.stderr, flush=True)
            if given.keep and not outcome.survived:
                given.keep.mkdir(parents=True, exist_ok=True)
                (given.keep / f"{number}.txt").write_text(f"{outcome}\n\n{outcome.printed}")
            if given.json:  # now: a run of hours may be ended
                write_json(given.json, environment(), rows_of(outcomes))
    print_table(rows_of(outcomes))


if __name__ == "__main__":
    main()
