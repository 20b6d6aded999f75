"""What happens in a stopped engine. A process drives one Ray cluster at a time: these have a module of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from explorer.core import plugins
from explorer.core.errors import StageFailed
from explorer.engines.workers import TORCH
from explorer.processes.pool import Request
from tests.contract.engines import loaded, of_the_slow
from tests.scripted_workers import context_of

OWN_PID: Request = {"call": "os:getpid", "arguments": {}}


@pytest.mark.parametrize("name", of_the_slow(plugins.names("engine"), pytest.mark.nightly))
def test_whatever_waits_for_a_stopped_engine_gets_a_failure(name: str, tmp_path: Path) -> None:
    workers = loaded(name).build(context_of(tmp_path), None)
    with workers.start(), ThreadPoolExecutor() as executor, workers.worker(TORCH) as worker:
        assert worker.request(OWN_PID) > 0
        waiting = executor.submit(worker.request, {"call": "signal:pause", "arguments": {}})
        with pytest.raises(TimeoutError):
            waiting.result(timeout=1)
        workers.stop()
        with pytest.raises(StageFailed) as caught:
            waiting.result(timeout=60)
    assert caught.value.failure.kind == "stopped"
    with pytest.raises(StageFailed, match="stopped"), workers.worker(TORCH):
        pass
