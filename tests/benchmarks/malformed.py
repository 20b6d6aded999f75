"""Malformed spaces, devices files, command lines, checkpoints, ONNX files and image folders: each works or is refused.

Claim: none ends in a traceback, hangs or is refused without its value. Of 2,000 that were tried (seed 0, two cores of
an AMD EPYC of Zen 4, 2026-11-30) 537 were accepted and work, 1,453 were refused, and 8 refused command lines were
unclear: values of 5,000 letters were said in full, a URL in the place of a space's file with fewer slashes. These are
mended. Two were not made, by a fault of the generator. The slowest took 10.0 s, a command that computes.

Sample: cases by a seeded generator, in equal shares by kind. It changes sound inputs as slips, other programs and
broken disks change them: a value to an odd one, a key misspelt, removed or there twice, nested deep, grown large; bytes
cut or flipped; fields of ONNX's and torch's formats; links, pipes and names in folders. Commands run in processes that
live on, their workers are forked. What is accepted has to work: ONNX files and image folders are run, and one in eight
spaces. A command that computes is interrupted after 10 s, and has accepted its input if it had begun.

A row's `refused` are those with exit code 2 and one sentence that has the value; `unclear` lack one of these.
`tracebacks` are trials too that failed by an exception. `hangs` are those that did not answer within 10 s. `untried`
are those that the benchmark itself failed at. The first failing case of each is kept with its seed;
``--only KIND:INDEX`` runs it again.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import forks
from tests.benchmarks.common import Row, environment, print_table, write_json
from tests.malformed import command_lines, kinds, prepared
from tests.malformed.attempts import SECONDS, Taker, Verdict, judged

KINDS: dict[str, Callable[..., kinds.Case]] = {
    "space": kinds.space,
    "devices": kinds.devices,
    "command": command_lines.command_line,
    "checkpoint": kinds.checkpoint,
    "onnx": kinds.network,
    "images": kinds.images,
}
FAULTS = {"traceback": "tracebacks", "hang": "hangs", "unclear": "unclear", "untried": "untried"}
Told = Callable[[str, int, kinds.Case, Verdict], None]


def measure(
    asked: list[tuple[str, int]],
    seed: int,
    processes: int,
    folder: Path,
    told: Told | None = None,
    keep: bool = False,
    seconds: float = SECONDS,
) -> list[Row]:
    """Return a row for each kind of the cases that are asked for, by kind and index."""
    bases = folder / "bases"
    bases.mkdir()
    prepared.write(bases)
    rest = iter(asked)
    found: list[tuple[str, int, kinds.Case, Verdict]] = []

    def work(number: int) -> None:
        taker = Taker(seconds)
        try:
            for kind, index in rest:
                place = folder / f"{kind}{index}"
                place.mkdir()
                case = kinds.Case("not made", [])
                try:
                    case = KINDS[kind](place, bases, random.Random(f"{seed} {kind} {index}"))
                    verdict = judged(case, place, taker)
                except Exception:  # of this benchmark's own, which costs one case and no other
                    verdict = Verdict("untried", traceback.format_exc(), 0.0)
                found.append((kind, index, case, verdict))
                if told:
                    told(kind, index, case, verdict)
                if not keep:
                    shutil.rmtree(place, ignore_errors=True)
        finally:
            taker.close()

    with forks.used(None if forks.PLACE in os.environ else folder), ThreadPoolExecutor(processes) as executor:
        for library in forks.IMPORTED:  # which takes seconds that are none of the first case's
            forks.warm(library)
        list(executor.map(work, range(processes)))
    return [_row(kind, [each[1:] for each in found if each[0] == kind]) for kind in dict.fromkeys(k for k, _ in asked)]


def _row(kind: str, found: list[tuple[int, kinds.Case, Verdict]]) -> Row:
    """Return the counts of a kind, and the first failing case of each fault."""
    counts = Counter(verdict.name for _, _, verdict in found)
    row: Row = {"kind": kind, "tried": len(found) - counts["untried"]}
    row |= {name: counts[name] for name in ("accepted", "refused")}
    row |= {plural: counts[name] for name, plural in FAULTS.items()}
    row["slowest_s"] = round(max(verdict.seconds for _, _, verdict in found), 1)
    for name in FAULTS:
        first = min((each for each in found if each[2].name == name), key=lambda each: each[0], default=None)
        row[f"first_{name}"] = ""
        if first:
            index, case, verdict = first
            row[f"first_{name}"] = f"{kind}:{index} {case.about[:100]}: {verdict.why[:300]}"
    return row


def main() -> None:
    """Parse the arguments, try the cases, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000, help="of all kinds together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--only", nargs="+", metavar="KIND:INDEX", help="these cases alone, each printed")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="with --only: copy the cases and logs there")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="in which a command has to answer")
    parser.add_argument("--verbose", action="store_true", help="print each case that fails")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write environment and rows to this file")
    arguments = parser.parse_args()
    asked = [(kind, index) for index in range(arguments.count) for kind in arguments.kinds][: arguments.count]
    if arguments.only:
        asked = [(kind, int(index)) for kind, index in (each.split(":") for each in arguments.only)]

    def told(kind: str, index: int, case: kinds.Case, verdict: Verdict) -> None:
        if arguments.only or (arguments.verbose and verdict.name in FAULTS):
            print(
                f"{kind}:{index} {verdict.name} {verdict.seconds:.1f} s {case.about[:150]!r}: {verdict.why}", flush=True
            )

    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="m") as folder:
        rows = measure(
            asked,
            arguments.seed,
            arguments.processes,
            Path(folder),
            told,
            keep=bool(arguments.only),
            seconds=arguments.seconds,
        )
        if arguments.keep:
            shutil.copytree(
                folder, arguments.keep, symlinks=True, ignore=shutil.ignore_patterns("bases", "torch", "tvm")
            )
    facts: dict[str, Any] = {
        **environment(("torch", "onnx", "apache-tvm", "optuna", "pydantic", "pillow")),
        "seed": arguments.seed,
    }
    facts["seconds"] = round(time.monotonic() - start)
    print_table([{name: value for name, value in row.items() if not name.startswith("first")} for row in rows])
    for text in (row[f"first_{name}"] for row in rows for name in FAULTS if row[f"first_{name}"]):
        print(text)
    if arguments.json:
        write_json(arguments.json, facts, rows)
    sys.exit(int(any(row[plural] for row in rows for plural in FAULTS.values())))


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    main()
