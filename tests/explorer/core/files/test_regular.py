"""Files and folders that several threads make at once: none of them removes what another has made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from explorer.core.files import locks, regular

THREADS, ROUNDS = 4, 200


def at_once(work: Callable[[int], None]) -> None:
    """Do `work` in several threads, which all begin at the same time."""
    barrier = threading.Barrier(THREADS)

    def begin(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(begin, range(THREADS)))


def test_a_lock_that_several_threads_make_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    most = 0
    for number in range(ROUNDS):
        holders = 0
        place, guard = tmp_path / f"{number}.lock", threading.Lock()

        def hold(_: int, place: Path = place, guard: threading.Lock = guard) -> None:
            nonlocal holders, most
            with locks.held(place, threading.Event()):
                with guard:
                    holders += 1
                    most = max(most, holders)
                time.sleep(0.0005)
                with guard:
                    holders -= 1

        at_once(hold)
    assert most == 1


def test_a_folder_that_several_threads_make_keeps_what_each_puts_there(tmp_path: Path) -> None:
    for number in range(ROUNDS):
        folder = tmp_path / str(number)

        def put(own: int, folder: Path = folder) -> None:
            (regular.make_folder(folder) / str(own)).mkdir()

        at_once(put)
        assert sorted(each.name for each in folder.iterdir()) == [str(own) for own in range(THREADS)]
