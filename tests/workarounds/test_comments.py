"""Every comment that begins with "Workaround" names the library, its version and the defect, and has a test."""

from __future__ import annotations

import re
from pathlib import Path

from tests import ROOT


def tagged(path: Path) -> list[str]:
    """Return the comments in a file that begin with ``# Workaround:``, each joined to one line."""
    comments = re.findall(r"^ *# Workaround:.*\n(?: *#(?! Workaround:).*\n)*", path.read_text(), re.MULTILINE)
    return [" ".join(line.strip().removeprefix("# ") for line in comment.splitlines()) for comment in comments]


def test_every_workaround_says_of_what_and_those_of_the_explorer_have_a_test_that_names_the_module() -> None:
    named = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    paths = [ROOT / "pyproject.toml", *(ROOT / "explorer").rglob("*.py"), *(ROOT / "dlas_ops").rglob("*.py")]
    found = {path: comments for path in paths if (comments := tagged(path))}
    assert len(found) >= 8
    for path, comments in found.items():
        assert path.stem in named or path.is_relative_to(ROOT / "dlas_ops"), path
        for comment in comments:
            assert re.match(r"Workaround: [\w-]+ [\d.a-z]+: .+; tests/workarounds", comment), comment
