"""Pages by name, and the id of a page in a test's name."""

from __future__ import annotations

from pathlib import Path

from tests import ROOT

DOCS = ROOT / "docs"
SPACES, TUNING, MODELS = DOCS / "search-spaces.md", DOCS / "search-and-tuning.md", DOCS / "models-data-training.md"
BOARDS, DEVICES = DOCS / "boards.md", DOCS / "devices.md"
RESULTS, HOUSE, OPS = DOCS / "results.md", DOCS / "architecture.md", DOCS / "dlas-ops.md"
REPORTS = DOCS / "reports.md"


def stem(page: Path) -> str:
    return page.stem
