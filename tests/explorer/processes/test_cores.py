"""The cores: shared by computations, and for one measurement or long training alone."""

from __future__ import annotations

import threading
import time

from explorer.processes.cores import Cores


def test_a_measurement_has_the_cores_alone_and_goes_first() -> None:
    cores = Cores()
    events: list[str] = []
    computing, release = threading.Event(), threading.Event()

    def compute_first() -> None:
        with cores.computing():
            computing.set()
            release.wait()
            events.append("first computation ends")

    def measure() -> None:
        with cores.alone():
            events.append("measurement begins")
            time.sleep(0.05)
            events.append("measurement ends")

    def compute_later() -> None:
        with cores.computing():
            events.append("later computation begins")

    threads = [threading.Thread(target=compute_first)]
    threads[0].start()
    computing.wait()
    for work in (measure, compute_later):
        threads.append(threading.Thread(target=work))
        threads[-1].start()
        time.sleep(0.05)
    assert not events
    release.set()
    for thread in threads:
        thread.join()
    assert events == [
        "first computation ends",
        "measurement begins",
        "measurement ends",
        "later computation begins",
    ]
