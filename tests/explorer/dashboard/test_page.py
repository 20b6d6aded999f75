"""The page in Chromium: loading, every control, news of a running study, faults, and what it asks for."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.keys import Keys

import explorer
from explorer.dashboard.state import Snapshot, Studies
from explorer.results.figures.layout import ON_FRONT
from tests import large_study, studies
from tests.chromium import FRONT, Page, served
from tests.conftest import Ran
from tests.explorer.dashboard.conftest import ENDED

FAILED = 17  # the number of a trial that has


@pytest.fixture
def page(driver: webdriver.Chrome, address: str) -> Page:
    """The page at 1280 pixels, with nothing chosen yet."""
    page = Page(driver)
    page.load(address)
    return page


def test_it_loads_and_asks_nobody_else(driver: webdriver.Chrome, address: str, snapshot: Snapshot) -> None:
    page = Page(driver).load(address)
    rows = snapshot.on("local")
    assert page.points("dominated") == (~rows["standing"].isin([ON_FRONT])).sum() - ties(snapshot)
    page.shows("#strip", f"{ENDED} of 100 trials · 2 failed")
    page.shows("#answer", "The most accurate stack within")
    page.shows("#brushed", f"{len(rows)} of {len(rows)} stacks")
    page.shows("#table", f"{rows['accuracy'].max():.2%}".replace("%", " %"))
    page.shows("#details", "the worker of trial 17 ended")
    page.wait(lambda: page.js("return document.querySelectorAll('#parallel .lines').length"), "lines are drawn")
    assert page.asked() == {address.split("/")[2]}
    assert page.errors() == []
    assert not page.js("return document.querySelector('.modebar-btn[data-title*=Share]')"), "nothing is uploaded"


def ties(snapshot: Snapshot) -> int:
    rows = snapshot.on("local")
    return int(rows["standing"].str.startswith("cannot be told apart").sum())


def test_the_budget_by_slider_and_by_number(page: Page, workspace: Path) -> None:
    before = page.js("return document.querySelector('#budget').value")
    page.js("document.querySelector('#place [role=slider]').focus()")
    for _ in range(3):
        ActionChains(page.driver).send_keys(Keys.PAGE_UP).perform()
    page.wait(lambda: page.js("return document.querySelector('#budget').value") != before, "the number follows")
    budget = "return Number(document.querySelector('#budget').value)"
    page.wait(lambda: f"within {page.js(budget):g} ms" in page.text("#answer h3"), "the answer follows")
    line = f"return document.querySelector('{FRONT}').layout.shapes[0].x0"
    page.wait(lambda: page.js(line) == page.js(budget), "so does the line")
    page.type("#budget", "0.4")
    best = explorer.best(0.4, "local", None, workspace, "large")
    assert best.stack is not None
    page.shows("#answer", f"open trial {best.stack.number}")
    page.type("#least-accuracy", "0.999")
    page.shows("#answer h3", "No stack fits 0.4 ms with at least 99.90 %. The nearest:")


def test_another_device(page: Page, snapshot: Snapshot) -> None:
    rows = snapshot.on("rpi4")
    page.click("#device label:nth-of-type(2)")
    page.shows("#brushed", f"{len(rows)} of {len(rows)} stacks")
    page.shows("#answer", "--device rpi4")
    page.wait(lambda: page.points("dominated") + near(page) == len(rows), "the points are those on the device")


def near(page: Page) -> int:
    """Return how many points have an interval."""
    script = f"""return document.querySelector('{FRONT}').data.filter(t => t.error_x)
        .reduce((sum, t) => sum + t.x.length, 0)"""
    return int(page.js(script))


def test_a_click_on_a_point_opens_its_stack(page: Page, snapshot: Snapshot) -> None:
    rows = snapshot.on("local")
    number = int(rows[rows["standing"] == ON_FRONT].sort_values("accuracy").iloc[-1]["number"])
    script = f"""const g = document.querySelector('{FRONT}'), a = g._fullLayout;
        const t = g.data.find(t => t.error_x && [...t.customdata].includes(arguments[0]));
        const i = [...t.customdata].indexOf(arguments[0]), box = g.getBoundingClientRect();
        return [box.left + a._size.l + a.xaxis.d2p(t.x[i]), box.top + a._size.t + a.yaxis.d2p(t.y[i])]"""
    page.js("window.scrollTo(0, 0)")
    x, y = page.js(script, number)
    ActionChains(page.driver).move_by_offset(round(x), round(y)).click().perform()
    page.shows("#panel h3", f"Trial {number}")
    page.wait(lambda: page.js("return document.activeElement.id") == "stack-heading", "the focus is there")


def test_a_trial_that_failed_shows_its_log(page: Page) -> None:
    page.click(f"#details button[id*='\"number\":{FAILED}']")
    page.shows("#panel", f"measure: the worker of trial {FAILED} ended")
    page.shows("#panel", "Segmentation fault")
    page.type("#number", "4711")
    page.click("#open")
    page.shows("#panel .fault", "study 'large' has no finished trial 4711; its last is 59")


def test_two_stacks_side_by_side(page: Page, snapshot: Snapshot) -> None:
    page.type("#number", "3")
    page.click("#open")
    page.shows("#panel h3", "Trial 3 complete")
    page.shows("#panel", "not profiled: dlas profile 3")
    page.shows("#panel", "quiet")
    page.click("#keep")
    page.shows("#kept", "Trial 3 is kept")
    page.click("#table button")
    page.wait(lambda: "side by side" in page.text("#comparison"), "both are shown")
    other = int(re.findall(r"\d+", page.text("#panel h3"))[0])
    rows = {int(row["number"]): row for row in snapshot.opened.frame.to_dict("records")}
    ratio = rows[other]["latency_ms"] / rows[3]["latency_ms"]
    page.shows("#comparison", f"{ratio:.2f}")
    assert ("≠" in page.text("#comparison")) == any(
        rows[other][axis] != rows[3][axis] for axis in ("model", "width", "compression", "algorithm", "device")
    )
    page.click("#part")
    page.wait(lambda: not page.text("#comparison"), "the comparison has ended")


def test_brushing_by_boxes_and_numbers(page: Page, snapshot: Snapshot) -> None:
    rows = snapshot.on("local")
    page.click('[id*=\'"axis":"algorithm"\'] input[value=gemm]')
    gemm = int((rows["algorithm"] == "gemm").sum())
    page.shows("#brushed", f"{gemm} of {len(rows)} stacks: algorithm gemm")
    page.wait(lambda: page.points("outside of the brush") == len(rows) - gemm, "the others are grey")
    page.type('[id*=\'"axis":"ratio"\'][id*=least]', "0.6")
    both = int(((rows["algorithm"] == "gemm") & (rows["ratio"] >= 0.6)).sum())
    page.shows("#brushed", f"{both} of {len(rows)} stacks: ratio at least 0.6, algorithm gemm")
    page.wait(
        lambda: len(page.driver.find_elements("css selector", "#table tbody tr")) == min(both, 15), "so the table"
    )
    page.click("#clear")
    page.shows("#brushed", "nothing is brushed")
    page.wait(lambda: page.points("outside of the brush") == 0, "nothing is grey")
    assert not page.js("return document.querySelectorAll('#controls input:checked').length")


@pytest.mark.nightly  # the boxes and numbers that a rectangle sets are tried above
def test_brushing_by_rectangles(page: Page, snapshot: Snapshot) -> None:
    total = len(snapshot.on("local"))
    page.drag("#front .nsewdrag", (0.1, 0.02), (0.6, 0.6))
    page.wait(lambda: "latency_ms at least" in page.text("#brushed"), "the rectangle brushes")
    first = int(page.text("#brushed").split()[0])
    assert 0 < first < total
    page.wait(lambda: page.js("return document.querySelector('[id*=latency_ms][id*=least]').value"), "numbers follow")
    page.drag("#parallel .nsewdrag", (0.02, 0.02), (0.2, 0.55))
    page.wait(lambda: "model" in page.text("#brushed"), "a rectangle over an axis brushes, too")
    assert int(page.text("#brushed").split()[0]) <= first
    page.wait(lambda: page.js("return document.querySelectorAll('#controls input:checked').length"), "boxes follow")


def test_the_table_is_sorted_and_turned(page: Page, snapshot: Snapshot) -> None:
    rows = snapshot.on("local")
    page.shows("#page-number", f"page 1 of {-(-len(rows) // 15)}")
    page.click("#next")
    page.shows("#page-number", "page 2 of")
    page.click("#previous")
    page.shows("#page-number", "page 1 of")
    page.click("#order")
    page.click(".dash-dropdown-content label:nth-of-type(2), .dash-dropdown-content [role=option]:nth-of-type(2)")
    page.wait(
        lambda: page.text("#table tbody td").strip() == str(rows.sort_values("latency_ms").iloc[0]["number"]),
        "the fastest comes first",
    )


@pytest.mark.nightly
def test_another_study(page: Page) -> None:
    page.click("#study")
    options = page.wait(lambda: page.driver.find_elements("css selector", ".dash-dropdown-content label"), "a list")
    next(option for option in options if "small" in option.text).click()
    page.shows("#strip", "12 of 12 trials")
    page.shows("#answer", "--study small")


@pytest.mark.nightly
def test_dark_and_light(driver: webdriver.Chrome, address: str) -> None:
    page = Page(driver, scheme="dark").load(address)
    colours = "return [getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    assert page.js(colours) == ["rgb(15, 20, 25)", "rgb(232, 237, 243)"]
    assert page.js(f"return document.querySelector('{FRONT}').layout.font.color") == "#e8edf3"
    page.click("#theme-button")
    page.wait(lambda: page.js(colours) == ["rgb(244, 246, 249)", "rgb(27, 36, 48)"], "it is light")
    page.wait(
        lambda: page.js(f"return document.querySelector('{FRONT}').layout.font.color") == "#1b2430", "figures too"
    )
    page.load(address)
    assert page.js(colours) == ["rgb(244, 246, 249)", "rgb(27, 36, 48)"], "what was chosen is kept"
    page.js("localStorage.clear()")


@pytest.mark.nightly
def test_a_narrow_window(driver: webdriver.Chrome, address: str) -> None:
    page = Page(driver, 400, 860).load(address)
    page.click("#table button")
    page.wait(lambda: "Trial" in page.text("#panel h3"), "a stack is open")
    assert page.overflow() == 0
    small = page.js("""return [...document.querySelectorAll('button, input, a')]
        .filter(e => e.offsetParent && !e.closest('.scroll, .modebar, #parallel, #front'))
        .filter(e => {const b = e.getBoundingClientRect();
        return b.right > innerWidth + 1 && !e.closest('nav')}).map(e => e.outerHTML)""")
    assert small == [], "everything can be reached without scrolling sideways"


def test_every_control_is_reached_by_keys_and_has_a_name(page: Page) -> None:
    nameless = page.js("""return [...document.querySelectorAll('button, input, [role=slider], [tabindex="0"]')]
        .filter(e => e.offsetParent && !e.closest('.modebar') && !e.ariaHidden)
        .filter(e => !(e.innerText?.trim() || e.ariaLabel || e.labels?.length))
        .filter(e => !e.hasAttribute('aria-labelledby')).map(e => e.outerHTML.slice(0, 200))""")
    assert nameless == []
    page.js("document.activeElement.blur(); window.scrollTo(0, 0)")
    reached: set[str] = set()
    for _ in range(140):
        ActionChains(page.driver).send_keys(Keys.TAB).perform()
        reached.add(page.js("const e = document.activeElement; return e.id || e.closest('[id]')?.id || ''"))
    wanted = {"study", "theme-button", "budget", "place", "least-accuracy", "number", "open", "keep", "part", "clear"}
    assert wanted | {"order", "previous", "next"} <= reached


def test_news_of_a_study_appear(driver: webdriver.Chrome, growing: Path) -> None:
    with served(growing) as address:
        page = Page(driver)
        driver.get(address)
        page.shows("#fault", "No trial has finished yet")
        large_study.grow(growing, range(1))
        page.shows("#strip", "1 of 100 trials")
        page.wait(page.drawn, "the fronts are drawn")
        large_study.grow(growing, range(1, 30))
        page.shows("#strip", "30 of 100 trials")
        rows = Studies(growing).snapshot("large").on("local")
        page.click("#device label")
        page.shows("#brushed", f"{len(rows)} of {len(rows)} stacks")
        page.wait(lambda: page.points("dominated") + near(page) == len(rows), "so do its points")
        assert page.text("#fault") == ""
        assert page.asked() == {address.split("/")[2]}


def test_faults_stand_in_their_place_and_the_page_goes_on(driver: webdriver.Chrome, growing: Path) -> None:
    large_study.grow(growing, range(10))
    database, kept = growing / "study.db", growing / "kept.db"
    with served(growing) as address:
        page = Page(driver).load(address)
        shutil.copy(database, kept)
        database.write_bytes(b"no database at all, but some text that is as long as a header of one would be" * 20)
        page.shows("#fault", "the records cannot be read now")
        assert page.drawn(), "what was shown remains"
        for journal in growing.glob("study.db-*"):
            journal.unlink()
        shutil.copy(kept, database)
        page.wait(lambda: page.text("#fault") == "", "the fault is gone")
    page.wait(lambda: page.js("return document.documentElement.dataset.gone"), "the page tells that its program ended")


@pytest.mark.nightly  # news of a study are tried above
def test_a_run_is_watched_from_its_first_trial_to_its_last(driver: webdriver.Chrome, tmp_path: Path) -> None:
    space, workspace = studies.write_space(tmp_path, "watched", ("resnet18",)), tmp_path / "w"
    command = [sys.executable, "-m", "tests.studies", str(space), str(workspace), "", "run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        first = int(run.stdout.readline())  # of a trial that has ended
        with served(workspace) as address:
            page = Page(driver).load(address)
            seen = {page.text("#strip").partition(" of 8 trials")[0]}
            page.type("#number", str(first))
            page.click("#open")
            page.shows("#panel", f"Trial {first}")
            while "complete" not in page.text("#strip"):
                seen.add(page.text("#strip").partition(" of 8 trials")[0])
                assert page.text("#fault") == ""
                time.sleep(0.2)
            page.wait(lambda: page.points("dominated") + near(page) == 8, "all stacks are drawn")
            page.shows("#panel", f"Trial {first}")
            assert page.asked() == {address.split("/")[2]}
            assert page.errors() == []
    assert run.returncode == 0
    assert seen - {"8"}, "it told how far the run was, while it ran"


@pytest.mark.slow
def test_layers_of_a_real_stack(driver: webdriver.Chrome, grid: Ran) -> None:
    with served(grid.workspace) as address, explorer.open(grid.workspace) as study:
        number = int(study.frame[study.frame["state"] == "complete"].iloc[0]["number"])
        page = Page(driver).load(address)
        page.type("#number", str(number))
        page.click("#open")
        for layer in study.layers(number):
            page.shows("#panel", layer["name"])
            page.shows("#panel", layer["ran"])
        page.shows("#strip", "complete")
