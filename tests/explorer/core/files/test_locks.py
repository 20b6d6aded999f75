"""Locks of files: one holder at a time, and a wait that ends with the explorer."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from explorer.core.errors import StageFailed
from explorer.core.files import locks


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    path, never = tmp_path / "lock", threading.Event()
    order: list[str] = []

    def wait() -> None:
        with locks.held(path, never):
            order.append("the one that waits")

    with ThreadPoolExecutor() as executor:
        with locks.held(path, never):
            waiting = executor.submit(wait)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.2)
            order.append("the holder")
        waiting.result()
    assert order == ["the holder", "the one that waits"]


def test_a_wait_for_a_lock_ends_with_the_explorer(tmp_path: Path) -> None:
    path, stopping = tmp_path / "lock", threading.Event()
    with ThreadPoolExecutor() as executor, locks.held(path, threading.Event()):
        waiting = executor.submit(lambda: locks.held(path, stopping).__enter__())
        stopping.set()
        with pytest.raises(StageFailed, match="stopped"):
            waiting.result()
