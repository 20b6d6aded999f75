"""What one execution of a stage left behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Artifact:
    """What one execution of a stage left behind.

    Parameters
    ----------
    path
        Folder that holds the stage's files.
    values
        What the stage returned: plain JSON values such as accuracies and sizes.
    seconds
        Wall-clock time that the execution took.
    """

    stage: str
    key: str
    path: Path
    values: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
