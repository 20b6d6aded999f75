"""What the explorer itself costs: a trial whose stages are all cached, a second run, and ``dlas --help``.

Claim: a trial with cached stages costs 17 ms in a grid and 22 with nsga2, more than half of it in Optuna's tables; a
second run ends in 2.3 s, ``dlas --help`` in 0.20 s (Optuna 5.0 and SQLite on 2 cores of AMD Zen 4, medians of 10).

Sample: a real grid of 24 configurations is run once. Then `--repeats` further studies over the same workspace find
every stage and measurement on record; a sample is one study's time from its first trial's end to its last's, divided
by the trials between. Of 24 configurations 24 are asked for, the worst case for nsga2, which proposes many of them a
second time. The commands are timed as whole processes, `--repeats` times.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # so that `tests` can be imported when this runs as a script

from tests import studies
from tests.benchmarks.common import Row, environment, print_table, summary, write_json

TRIALS = 24
ALGORITHMS = ("direct", "gemm", "spatial_pack")
DLAS = Path(sys.executable).with_name("dlas")


class Ends(studies.Events):
    """Remembers when trials ended, and refuses to see a stage executed."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def ended(self, *event: object) -> None:
        self.times.append(time.perf_counter())


def cached_trials(folder: Path, repeats: int, sampler: str) -> list[float]:
    """Return milliseconds per trial of studies whose every stage and measurement is on record."""
    samples = []
    for repeat in range(repeats):
        path = studies.write_space(
            folder, name=f"{sampler}-{repeat}", algorithms=ALGORITHMS, search={"sampler": sampler}
        )
        ends = Ends()
        studies.run(path, folder / "workspace", ends, trials=TRIALS)
        executed = [stage for stage in ends.stages if not stage.startswith("reach")]
        assert not executed, f"not cached: {executed}"
        samples.append(1e3 * (ends.times[-1] - ends.times[0]) / (len(ends.times) - 1))
    return samples


def processes(repeats: int, *command: str) -> list[float]:
    """Return the milliseconds of `command` as a whole process."""

    def timed() -> float:
        start = time.perf_counter()
        subprocess.run([DLAS, *command], check=True, stdout=subprocess.DEVNULL)
        return 1e3 * (time.perf_counter() - start)

    timed()
    return [timed() for _ in range(repeats)]


def rows(folder: Path, repeats: int) -> list[Row]:
    """Run the grid, then everything that is measured."""
    grid = studies.write_space(folder, algorithms=ALGORITHMS)
    workspace = folder / "workspace"
    studies.run(grid, workspace, studies.Events())
    kinds: dict[str, Callable[[], list[float]]] = {
        "cached_trial_grid": lambda: cached_trials(folder, repeats, "grid"),
        "cached_trial_nsga2": lambda: cached_trials(folder, repeats, "nsga2"),
        "second_run": lambda: processes(repeats, "run", str(grid), "--workspace", str(workspace)),
        "help": lambda: processes(repeats, "--help"),
    }
    return [{"kind": kind, "samples": repeats, **summary(sample())} for kind, sample in kinds.items()]


def main() -> None:
    """Parse arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = rows(Path(folder), arguments.repeats)
    print_table(measured)
    if arguments.json:
        write_json(arguments.json, environment(), measured)


if __name__ == "__main__":
    main()
