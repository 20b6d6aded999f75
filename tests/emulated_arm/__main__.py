"""``python -m tests.emulated_arm``: serves until Ctrl-C and prints the entry for a devices file."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from tests.emulated_arm import CPU, Missing, entry, installed, server
from tests.emulated_arm.server import KEY


def main() -> None:
    """Bring the server up; what is missing is one sentence and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m tests.emulated_arm", description=__doc__)
    parser.add_argument("--folder", type=Path, help="cache of the packages")
    parser.add_argument("--cpu", default=CPU, help="processor to emulate (%(default)s)")
    parser.add_argument("--key", default=KEY, help="name at the tracker (%(default)s)")
    cores = range(1, len(os.sched_getaffinity(0)) + 1)
    parser.add_argument("--threads", type=int, default=1, choices=cores, help="that it computes on (%(default)s)")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to remove its folder
    try:
        with server(installed(asked.folder), asked.cpu, asked.key, asked.threads) as tracker:
            print(entry(tracker, asked.cpu, asked.key, asked.threads), flush=True)
            threading.Event().wait()
    except Missing as missing:
        print(f"error: {missing}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
