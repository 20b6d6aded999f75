"""Links lead somewhere, files that are named exist, and the English is plain."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import ROOT, documents
from tests.docs.pages import HOUSE, stem
from tests.documents import PAGES, README


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in documents.links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in documents.anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_the_files_it_names_exist(page: Path) -> None:
    folders = "explorer|dlas_ops|search_spaces|docs|tests|examples"
    named = re.findall(rf"`((?:{folders})/[\w./]*)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_pages_name_files() -> None:
    assert "explorer/line/trials/trial.py" in HOUSE.read_text(), "the place to start reading"
    assert "tests/benchmarks" in README.read_text()


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_the_english_is_plain(page: Path) -> None:
    text = re.sub(r'"[^"]*"', '""', " ".join(documents.prose(page).split()))
    assert re.findall(r"(?:^|[.:|] |- )(?:Who|What|Have|Let)\b[^.|]*", text) == []
    assert re.findall(r", of which|\b(?:as ever|for certain|besides|earlier versions?)\b", text) == []
