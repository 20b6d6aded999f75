"""A bundle with other content, as if it had been made so: its digests are right; and an environment without torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from explorer.bundles import manifest as files
from explorer.bundles.manifest import Manifest
from tests import ROOT

INT8 = "int8"


def rewritten(folder: Path, **parts: Any) -> Manifest:
    """Write the manifest in `folder` again, with these parts in place of its own and with the digests of its files."""
    content = json.loads((folder / files.MANIFEST).read_text())
    del content["digest"]
    known = Manifest.model_validate(content)
    digests = {name: files.digest_of(folder / name) for name in known.files}
    made = known.model_copy(update={"files": digests, **parts})
    files.write(made, folder)
    return made


def spoil(folder: Path) -> None:
    """Make the expected outputs wrong."""
    expected = np.load(folder / files.EXPECTED)
    np.save(folder / files.EXPECTED, expected + np.float32(np.abs(expected).max()))
    rewritten(folder)


def without_torch(folder: Path) -> dict[str, str]:
    """Return an environment in which no process can import torch."""
    (folder / "torch.py").write_text("raise ImportError('this environment has no torch')\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
