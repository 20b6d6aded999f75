"""Literals of plug-ins, read by many threads."""

from __future__ import annotations

import ast
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from explorer.core import plugins


def test_one_thread_at_a_time_parses(monkeypatch: pytest.MonkeyPatch) -> None:
    parsing, parse = threading.Lock(), ast.parse

    def alone(source: str) -> ast.Module:
        assert parsing.acquire(blocking=False), "two threads parse at once"
        time.sleep(0.01)
        parsing.release()
        return parse(source)

    plugins.literal.cache_clear()
    monkeypatch.setattr(ast, "parse", alone)
    names = plugins.names("algorithm")
    with ThreadPoolExecutor(len(names)) as threads:
        formats = list(threads.map(lambda name: plugins.literal("algorithm", name, "FORMATS"), names))
    assert all("dense" in own for own in formats)
