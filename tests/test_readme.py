"""The README is short, and what it says of Python and make is so; `tests.docs` runs its commands with the pages'."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest

from tests import ROOT
from tests.documents import PAGES, README, commands

MOST_BYTES = 8 * 1024
TARGETS = sorted(
    {command.split()[1] for command in commands() if re.match(r"make \w", command)}  # not that of a bundle
    | {target for page in PAGES for target in re.findall(r"`make ([a-z-]+)`", page.read_text())}
)


def test_it_is_short() -> None:
    assert README.stat().st_size <= MOST_BYTES


def test_it_shows_the_figure_and_leads_to_every_page() -> None:
    text = README.read_text()
    assert "](docs/fashion-mnist/front.png)" in text
    assert [page.name for page in PAGES[1:] if f"](docs/{page.name})" not in text] == []


def test_versions_of_python_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11.1"
    assert "Python 3.11 or newer" in README.read_text()


@pytest.mark.parametrize("target", TARGETS)
def test_make_has_the_target(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_targets_that_a_newcomer_needs_are_named() -> None:
    assert {"quickstart", "check", "test", "bench", "lint"} <= set(TARGETS)


def test_the_quickstart_searches_the_bundled_space() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "--dry-run", "quickstart"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-1].endswith("/dlas run search_spaces/quickstart.toml")
