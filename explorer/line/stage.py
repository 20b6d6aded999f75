"""Stage: typed parameters and parents → the key that its artifact lies under; a worker executes it.

A stage consists of two files of its name. ``explorer/line/contracts/<name>.py`` has its types: ``Parameters``,
``Parents``, ``Values`` and ``Stage``, and loads neither torch nor TVM. ``explorer/line/stages/<name>.py`` does the
work in a worker; it defines two literals and one function::

    VERSION = 1        # raised whenever the same parameters give another result
    WORKER = "torch"   # the kind of worker process it runs in: "torch" or "tvm"

    def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
        '''Write files into the folder `out`; return plain JSON values; raise StageFailed for an expected failure.'''

Of the values, ``note`` is a sentence that the user is told when the stage was executed.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from typing import ClassVar, Generic

from typing_extensions import TypeVar

from explorer.core import plugins
from explorer.core.artifact import V
from explorer.core.configuration import digest
from explorer.line.parameters import LEFT_OUT_IF_NONE, OUTSIDE_KEY, Parameters, Parents, ParentsWithCode

# The whole of what a stage's types are made of, for `explorer.line.contracts`.
__all__ = [
    "LEFT_OUT_IF_NONE",
    "OUTSIDE_KEY",
    "A",
    "P",
    "Parameters",
    "Parents",
    "ParentsWithCode",
    "Stage",
    "Target",
    "content_key",
    "library_version",
]

# The library that a kind of worker is built around; with our own code it decides a stage's result.
LIBRARIES = {"torch": "torch", "tvm": "apache-tvm"}

Target = Mapping[str, object]  # a TVM target

P = TypeVar("P", bound=Parameters, default=Parameters, covariant=True)
A = TypeVar("A", bound=Parents, default=Parents, covariant=True)


@dataclass(frozen=True)
class Stage(Generic[P, A, V]):
    """One execution to be: parameters and parents of the stage that a subclass names; it returns values of type V."""

    name: ClassVar[str]
    parameters: P
    parents: A

    @property
    def worker(self) -> str:
        """The kind of worker process that the stage runs in."""
        return str(plugins.literal("stage", self.name, "WORKER"))

    @property
    def key(self) -> str:
        """The key that the stage's artifact lies under."""
        return content_key(self.name, self.parameters.keyed(), self.parents.keyed())

    def as_json(self) -> dict[str, object]:
        """Return the request to execute the stage, as a worker reads it but for the folders to write into."""
        parents = {name: {**asdict(parent), "path": str(parent.path)} for name, parent in self.parents.named().items()}
        return {"stage": self.name, "parameters": self.parameters.as_json(), "parents": parents}

    @property
    def trained_pixels(self) -> int:
        """Pixels of all images that the stage trains on, an image counted in every epoch."""
        return 0

    @property
    def answered_pixels(self) -> int:
        """Pixels of all images that a network answers in a stage and a study that train nothing."""
        return 0


def content_key(stage: str, parameters: Mapping[str, object], parents: Mapping[str, str]) -> str:
    """Return the SHA-256 over a stage's name, version, parameters, its parents' keys and its library's version."""
    return digest(
        {
            "stage": stage,
            "version": plugins.literal("stage", stage, "VERSION"),
            "library": library_version(str(plugins.literal("stage", stage, "WORKER"))),
            "parameters": dict(parameters),
            "parents": dict(parents),
        }
    )


@cache
def library_version(worker: str) -> str:
    """Return ``name version`` of the library behind a kind of worker, without importing it."""
    name = LIBRARIES[worker]
    return f"{name} {importlib.metadata.version(name)}"
