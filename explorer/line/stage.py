"""Stage contract: (name, parameters, parents) → key; ``explorer/line/stages/<name>.py`` does the work in a worker.

A stage module defines two literals and one function::

    VERSION = 1        # raised whenever the same parameters give another result
    WORKER = "torch"   # the kind of worker process it runs in: "torch" or "tvm"

    def run(parameters, parents, out):
        '''Write files into the folder `out`; return plain JSON values; raise StageFailed for an expected failure.'''

Of the values, ``note`` is a sentence that the user is told when the stage was executed.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import digest

# What decides the result besides our own code: the library that a kind of worker is built around.
LIBRARIES = {"torch": "torch", "tvm": "apache-tvm"}


@dataclass(frozen=True)
class Stage:
    """One execution to be: what to run, with which parameters, on whose results."""

    name: str
    parameters: Mapping[str, Any]
    parents: Mapping[str, Artifact]

    @property
    def worker(self) -> str:
        """The kind of worker process that the stage runs in."""
        return str(plugins.literal("stage", self.name, "WORKER"))

    @property
    def key(self) -> str:
        """SHA-256 over name, version, parameters, the parents' keys and the library's version."""
        return digest(
            {
                "stage": self.name,
                "version": plugins.literal("stage", self.name, "VERSION"),
                "library": library_version(self.worker),
                "parameters": dict(self.parameters),
                "parents": {name: parent.key for name, parent in self.parents.items()},
            }
        )


@cache
def library_version(worker: str) -> str:
    """Return ``name version`` of the library behind a kind of worker, without importing it."""
    name = LIBRARIES[worker]
    return f"{name} {importlib.metadata.version(name)}"
