"""Modules of the user's own in a new process: found where their folder's code looks, and not where other code does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import ROOT

PROGRAM = """
import sys
from pathlib import Path
from explorer.core import own_modules, plugins
own_modules.make_importable(Path(sys.argv[1]))
import library, types, statistics
print(library.WHOSE, library.later())
print(plugins.load_custom("nets:who")())
print(hasattr(statistics, "mean"), sys.argv[0].endswith("nets.py"), len(sys.argv))
"""


def test_own_modules_are_found_first_by_their_folders_code_alone(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder in (own, other):
        folder.mkdir()
        for name in ("shared", "later", "helper"):
            (folder / f"{name}.py").write_text(f"WHOSE = '{folder.name}'\n")
    (own / "library.py").write_text("WHOSE = 'wrong'\n")
    (other / "library.py").write_text(
        "from shared import WHOSE\ndef later():\n    import later\n    return later.WHOSE\n"
    )
    (own / "statistics.py").write_text("")
    (own / "package").mkdir()
    (own / "package" / "__init__.py").write_text("from .inner import helper\n")
    (own / "package" / "inner.py").write_text("import importlib\nhelper = importlib.import_module('helper')\n")
    (own / "nets.py").write_text("import package\ndef who():\n    return package.helper.WHOSE\n")
    (other / "nets.py").write_text("")
    found = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, str(own)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(other), str(ROOT)))},
        capture_output=True,
        text=True,
    )
    assert found.stdout.split() == ["other", "other", "own", "True", "True", "1"], found.stderr
