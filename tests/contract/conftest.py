"""Fixtures of the contract suites."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from explorer.processes.pool import Worker


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker that holds TVM."""
    worker = Worker("tvm", "tvm 1", tmp_path_factory.mktemp("worker") / "tvm.log", threads=2)
    yield worker
    worker.stop()
