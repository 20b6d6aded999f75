"""Kind of a fault → what strikes a running command, and what ends the fault before the command is given again."""

from __future__ import annotations

import contextlib
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.damage import damages
from tests.faults.commands import Running, Strike

STOPPED_SECONDS = 2.0
DAMAGED = 3  # files at once
SOCKET_PATH = 100  # characters that the path of a socket has at most
KEY_LETTERS = 64
SPARE_BYTES = 1 << 22  # that a process whose memory is limited still gets
DISK_BYTES = 256 << 20
PIECE = 1 << 16


class Struck:
    """Whether a fault found what it was for."""

    def __init__(self) -> None:
        self.hit = False


def signalled(name: str, number: signal.Signals, struck: Struck, goes_on: bool = True) -> Strike:
    """Return what sends a signal to one process of that name, and lets a stopped one go on after a while, or never."""

    def strike(running: Running) -> None:
        for process in running.find(name)[:1]:
            process.send_signal(number)
            struck.hit = True
            if number == signal.SIGSTOP and goes_on:
                time.sleep(STOPPED_SECONDS)
                process.send_signal(signal.SIGCONT)

    return strike


def starved(name: str, struck: Struck) -> Strike:
    """Return what limits the memory of one process of that name to little more than it has."""

    def strike(running: Running) -> None:
        for process in running.find(name)[:1]:
            limit = process.memory_info().vms + SPARE_BYTES
            resource.prlimit(process.pid, resource.RLIMIT_AS, (limit, limit))
            struck.hit = True

    return strike


@contextlib.contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """Give a folder on a disk of its own, of `DISK_BYTES` in memory."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def filled(folder: Path, struck: Struck, seconds: float | None) -> tuple[Strike, Callable[[], None]]:
    """Return what fills the disk of `folder`, for so many seconds or until the second function is called."""
    filler = folder / "filler"

    def mend() -> None:
        filler.unlink(missing_ok=True)

    def strike(running: Running) -> None:
        del running
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * PIECE)
        struck.hit = True
        if seconds is not None:
            time.sleep(seconds)
            mend()

    return strike, mend


def immutable(folders: Iterator[Path] | list[Path], struck: Struck) -> tuple[Strike, Callable[[], None]]:
    """Return what makes folders take no new file, even from root, and what undoes that."""
    marked: list[Path] = []

    def strike(running: Running) -> None:
        del running
        for folder in folders:
            if folder.is_dir() and not subprocess.run(["chattr", "+i", str(folder)], capture_output=True).returncode:
                marked.append(folder)
        struck.hit = bool(marked)

    def mend() -> None:
        for folder in marked:
            subprocess.run(["chattr", "-i", str(folder)], check=True)

    return strike, mend


class Damager:
    """Damages files of a workspace whose run was killed when a stage began.

    Attributes
    ----------
    keys : of the artifacts that were damaged, which are made again
    """

    def __init__(self, workspace: Path, seed: int, struck: Struck) -> None:
        self._workspace, self._struck = workspace, struck
        self._random = random.Random(seed)
        self.keys: list[str] = []

    def kill(self, running: Running) -> None:
        """Kill the command's main process."""
        for process in running.find("main"):
            process.kill()

    def damage(self) -> None:
        """Damage some files, each of another folder of the workspace."""
        folders: dict[str, list[Path]] = {}
        for file in sorted(self._workspace.rglob("*")):
            if file.is_file() and not file.name.startswith("study.db"):  # which nothing but a copy mends
                folders.setdefault("/".join(file.relative_to(self._workspace).parts[:2]), []).append(file)
        for name in self._random.sample(sorted(folders), min(DAMAGED, len(folders))):
            file = self._random.choice(folders[name])
            ways = [
                each
                for each in damages(file, self._random)
                if len(str(file)) < SOCKET_PATH or "socket" not in each.name
            ]
            self._random.choice(ways).apply()
            self.keys += [part for part in file.parts if len(part) == KEY_LETTERS]
            self._struck.hit = True


def root() -> bool:
    """Tell whether disks can be mounted and folders made immutable here."""
    return os.geteuid() == 0
