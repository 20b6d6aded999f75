"""Result of one execution of a stage: its files, its values and its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic

from typing_extensions import TypeVar

# The type of a stage's values; `Artifact` alone is one of any stage, whose values are what its JSON holds.
V = TypeVar("V", bound=Mapping[str, object], default=Any, covariant=True)


@dataclass(frozen=True)
class Artifact(Generic[V]):
    """The result of one execution of a stage.

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
    values: V = field(default_factory=dict)  # type: ignore[assignment]
    seconds: float = 0.0
