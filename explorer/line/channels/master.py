"""Command of ssh → a connection to a machine that other commands share, while standard input stays open.

A program, ``python -I -S master.py SSH ARGUMENTS``; it imports nothing that takes long. It prints the folder of the
connection's socket, which its user alone may enter, or what ssh says against it. By itself ssh would outlive its
parent, and leave the folder.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile

SOCKET = "control"  # in the folder, where ssh works: the name of a socket must be short
POLL_SECONDS = 0.02


def main(command: list[str]) -> None:
    """Keep the connection up until standard input closes, or ssh ends by itself."""
    folder, ssh = tempfile.mkdtemp(prefix="dlas-ssh-"), None
    try:
        with open(f"{folder}/log", "wb") as log:
            ssh = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        while ssh.poll() is None and not os.path.exists(f"{folder}/{SOCKET}"):
            if _told_to_end(POLL_SECONDS):
                return
        if ssh.returncode is None:
            print(f"folder {folder}", flush=True)
        else:
            with open(f"{folder}/log", encoding="utf-8", errors="replace") as said:
                print("refused", (said.read().strip().splitlines() or ["it says nothing"])[-1], flush=True)
        while ssh.poll() is None and not _told_to_end(1.0):
            pass
    finally:
        if ssh is not None and ssh.poll() is None:
            ssh.kill()
        shutil.rmtree(folder, ignore_errors=True)


def _told_to_end(seconds: float) -> bool:
    return bool(select.select([0], [], [], seconds)[0]) and not os.read(0, 1)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        main(sys.argv[1:])
