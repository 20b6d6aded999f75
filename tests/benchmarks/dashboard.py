"""The live page: how long until its fronts are drawn, a brush shows, and a new trial appears.

Claim: with 10,000 trials on record the fronts are drawn 2.1 to 3.2 s after the page is opened (asked: 3 s). A brush
shows after 0.40 to 0.51 s (asked: 0.5 s), and a new trial after 3.9 to 5.7 s: the least and the most of three runs'
medians, of 3, 3 and 5 rounds on two noisy cores of an AMD EPYC. One run of the three missed both figures asked for.
During the first, another process was stopped; nothing was beside the others.

Sample: a study of made-up trials, written into real records, on this machine and in Chromium without a window, which
draws WebGL on the processor. `first_paint_s` is from the navigation to the frame in which the points, the axes and the
answer are drawn, with an empty cache for the first of the rounds alone; `brush_s` from the click on a box, by turns of
setting and clearing it, to the frame in which the figure of the fronts has the points in the brush; `update_s` from a
trial's commit to its appearance, the time between two looks of the page included. Medians over the rounds, with least
and most.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

# A script's own folder is on the path, the repository that holds the package of tests is not.
sys.path.insert(0, str(Path(__file__).parents[2]))
from tests import large_study
from tests.benchmarks.common import Row, environment, print_table, write_json
from tests.chromium import ABSENT, FRONT, Page, chromium, served

# Runs in the page: resolves with the milliseconds until `done` holds and a frame with it has been drawn.
UNTIL = """const start = performance.now(), resolve = arguments[2];
    const [act, done] = [new Function(arguments[0]), new Function(arguments[1])];
    act();
    (function look() {
        if (done()) requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
        else setTimeout(look, 5);
    })();"""
POINTS = f"""const traces = document.querySelector('{FRONT}')?.data ?? [];
    const count = name => traces.filter(t => t.name === name).reduce((sum, t) => sum + (t._length ?? t.x.length
        ?? atob(t.x.bdata).length / 4), 0);"""
PAINTED = f"""{POINTS} return count('dominated') > 0 && document.querySelector('{FRONT} .xtick')
    && document.querySelector('#answer h3')"""
BOX = 'document.querySelector(`[id*=\'"axis":"algorithm"\'] input[value=gemm]`).click()'


def page_row(count: int, rounds: int) -> Row:
    """Return how long the page takes with `count` trials on record."""
    with tempfile.TemporaryDirectory() as folder, chromium() as driver:
        root = Path(folder) / "w"
        large_study.begin(root, 2 * count)
        large_study.grow(root, range(count))
        with served(root) as address:
            page = Page(driver)
            driver.set_script_timeout(300)
            paints, brushes, updates = [], [], []
            for _ in range(rounds):
                paints.append(_first_paint(page, address))
                page.shows("#brushed", "nothing is brushed")
                time.sleep(2)  # until what lies below is drawn, too
                for grey in ("> 0", "=== 0"):
                    done = f"{POINTS} return count('outside of the brush') {grey}"
                    brushes.append(driver.execute_async_script(UNTIL, BOX, done) / 1e3)
                    time.sleep(1)
            for number in range(count, count + rounds):
                updates.append(_update(page, root, number))
    return {
        "trials": count, "rounds": rounds, **_spread("first_paint_s", paints), **_spread("brush_s", brushes),
        **_spread("update_s", updates),
    }  # fmt: skip


def _first_paint(page: Page, address: str) -> float:
    """Return the seconds from the navigation to the first frame with the fronts and the answer."""
    page.driver.get(address)
    page.driver.execute_async_script(UNTIL, "", PAINTED)
    return float(page.js("return performance.now()")) / 1e3


def _update(page: Page, root: Path, number: int) -> float:
    large_study.grow(root, range(number, number + 1))
    start = time.perf_counter()
    page.shows("#strip", f"{number + 1:,} of")
    return time.perf_counter() - start


def _spread(name: str, seconds: list[float]) -> Row:
    return {
        name: round(median(seconds), 2),
        f"{name}_least": round(min(seconds), 2),
        f"{name}_most": round(max(seconds), 2),
    }


def main() -> None:
    """Parse the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[100, 1000, 10_000], help="of trials on record")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write environment and rows to this file")
    arguments = parser.parse_args()
    if ABSENT:
        parser.error(ABSENT)
    facts = environment(("dash", "plotly", "pandas", "selenium"))
    rows = [page_row(count, arguments.rounds) for count in arguments.counts]
    print_table(rows)
    if arguments.json:
        write_json(arguments.json, facts, rows)


if __name__ == "__main__":
    main()
