"""README and pages → their blocks of code with what is written above them, their links, headings and commands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests import ROOT

README = ROOT / "README.md"
PAGES = (README, *sorted((ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(
    r"(?:^<!-- (?P<marker>(?:(?!-->).)*?)\s*-->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Parameters
    ----------
    marker
        The comment above it, which is invisible where the page is shown: ``file: PATH``, whose text it is a part of;
        ``toml: devices``; or ``toml: space``, with the lines that make it a whole search space.
    """

    page: Path
    language: str
    marker: str
    text: str

    @property
    def completion(self) -> str:
        """The lines below the first one of the marker."""
        return self.marker.partition("\n")[2]


def blocks(language: str, *pages: Path) -> list[Block]:
    """Return the blocks in `language` of `pages`, of all unless given, in their order."""
    found = [(page, match) for page in pages or PAGES for match in _BLOCK.finditer(page.read_text())]
    every = [Block(page, match["language"], match["marker"] or "", match["text"]) for page, match in found]
    return [block for block in every if block.language == language]


def commands(*pages: Path) -> list[str]:
    """Return what the console blocks show to type, in order."""
    lines = [line for block in blocks("console", *pages) for line in block.text.splitlines()]
    assert all(line.startswith("$ ") for line in lines), "a console block has commands alone"
    return [line.removeprefix("$ ") for line in lines]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks and comments."""
    return re.sub(r"<!--.*?-->", "", _BLOCK.sub("", page.read_text()), flags=re.DOTALL)


def links(page: Path) -> list[str]:
    """Return the targets of a page's relative links."""
    return [target for target in _LINK.findall(prose(page)) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in _HEADING.findall(prose(page)))
    return {heading.replace(" ", "-") for heading in kept}


def rows(page: Path, heading: str = "") -> list[list[str]]:
    """Return the cells of all tables of a page, or of those between `heading` and the next one, without their heads."""
    text = prose(page)
    if heading:
        _, found, text = text.partition(f"\n{heading}\n")
        assert found, f"{page.name} has no heading {heading}"
        text = text.partition("\n#")[0]
    text = re.sub(r"^\|.*\n\| ---.*$", "", text, flags=re.MULTILINE)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines]


def code(text: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", text)
