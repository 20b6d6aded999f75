"""The modules that bring engines their workers, by name."""

from __future__ import annotations

import pytest

from explorer.core import plugins
from explorer.engines.workers import WorkersModule


def loaded(name: str) -> WorkersModule:
    if name == "ray":
        pytest.importorskip("ray", reason="pip install 'dlas-explorer[ray]'")
    module: WorkersModule = plugins.load("engine", name)
    return module


def of_the_slow(names: tuple[str, ...], mark: pytest.MarkDecorator = pytest.mark.slow) -> list[object]:
    """Return the names as parameters, those of engines that take long to start with a `mark`."""
    return [pytest.param(name, marks=mark if name != "local" else ()) for name in names]
