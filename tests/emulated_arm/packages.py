"""Registries of Debian and PyPI → a folder with an emulator and an Arm system that has Python, a linker and TVM.

Nothing of it is installed on this machine, and no step needs root: apt resolves and downloads for the other
architecture with a state of its own, in which nothing is installed yet.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CACHE = "dlas-explorer/emulated-arm"  # in the user's folder of caches
EMULATOR, EMULATOR_PACKAGE = "qemu-aarch64-static", "qemu-user-static"
# What the system needs beside what these need: binutils links there, where a board has a whole compiler.
SYSTEM = ("python3", "libstdc++6", "binutils")
WHEELS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64")
SITE = "site"  # folder of the wheels in the system


class Missing(Exception):
    """An emulated device lacks something here; the message says what, in one sentence."""


@dataclass(frozen=True)
class System:
    """An emulator, and the root folder of the Arm system that it runs programs of."""

    emulator: Path
    root: Path

    def command(self, program: str, *arguments: str, cpu: str = "max", name: str = "") -> list[str]:
        """Return the command that runs a program of the system, whose files the emulator looks up in `root` first.

        Parameters
        ----------
        cpu
            The processor that is emulated.
        name
            By which the program takes itself to be called; its path unless given.
        """
        called = ["-0", name] if name else []
        emulated = [str(self.emulator), "-cpu", cpu, "-L", str(self.root), *called]
        return [*emulated, str(self.root / program), *arguments]

    def printed(self, program: str, *arguments: str, cpu: str = "max") -> str:
        """Return what a program of the system prints."""
        return _printed(self.command(program, *arguments, cpu=cpu), f"what its {program} would do")

    def processors(self) -> list[str]:
        """Return the names of the processors that can be emulated."""
        told = subprocess.run([self.emulator, "-cpu", "help"], capture_output=True, text=True)  # its exit code is 1
        return told.stdout.split()[2:]


def installed(folder: Path | None = None) -> System:
    """Return the system in `folder`, which is filled from the registries if it is not there yet.

    Parameters
    ----------
    folder
        A cache of about 500 MB, by default in the user's folder of caches.

    Raises
    ------
    Missing
        If something cannot be had.
    """
    place = folder or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / CACHE
    versions = {name: importlib.metadata.version(name) for name in ("apache-tvm", "apache-tvm-ffi")}
    own = place / "-".join(versions.values())
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not own.exists():
            with tempfile.TemporaryDirectory(dir=place) as draft:
                _fill(Path(draft) / "system", Path(draft) / "apt", versions)
                (Path(draft) / "system").rename(own)
    return System(own / EMULATOR, own / "root")


def _fill(folder: Path, apt_folder: Path, versions: dict[str, str]) -> None:
    """Put the emulator and the system into `folder`, with what apt needs in the other one.

    Parameters
    ----------
    versions
        Of TVM's wheels, by their names.
    """
    here, there, root = apt_folder / "here", apt_folder / "arm64", folder / "root"
    root.mkdir(parents=True)
    _printed([*_apt(here), "download", EMULATOR_PACKAGE], f"Debian's package {EMULATOR_PACKAGE}", here)
    _unpack(here, here / "unpacked")
    shutil.copy(here / "unpacked" / "usr" / "bin" / EMULATOR, folder / EMULATOR)

    apt = _apt(there, "APT::Architecture=arm64", "APT::Architectures=arm64")
    _printed([*apt, "install", "--yes", "--download-only", *SYSTEM], f"Debian's {', '.join(SYSTEM)} for arm64")
    _unpack(there / "archives", root)

    script = "import sys; print(*sys.version_info[:2], sep='.')"
    version = System(folder / EMULATOR, root).printed("usr/bin/python3", "-c", script).strip()
    wheels = [f"apache-tvm[rpc]=={versions['apache-tvm']}", f"apache-tvm-ffi=={versions['apache-tvm-ffi']}"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(root / SITE), "--only-binary=:all:"]
    platforms = [f"--platform={platform}" for platform in WHEELS]
    _printed([*pip, *platforms, f"--python-version={version}", *wheels], f"wheels of TVM for aarch64, Python {version}")


def _apt(folder: Path, *options: str) -> list[str]:
    """Return the command apt-get with a state of its own in `folder`, which knows what Debian has."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        raise Missing("an emulated device needs apt-get and dpkg, to have Debian's packages; this system lacks them")
    for name in ("state/lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    own = {
        "Dir::State": folder / "state",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Debug::NoLocking": "1",
        "APT::Install-Recommends": "0",
        "APT::Sandbox::User": "",
    }
    command = ["apt-get", "--quiet", *(f"--option={name}={value}" for name, value in own.items())]
    command += [f"--option={option}" for option in options]
    _printed([*command, "update"], "a list of Debian's packages")
    return command


def _unpack(packages: Path, into: Path) -> None:
    for package in sorted(packages.glob("*.deb")):
        _printed(["dpkg", "--extract", str(package), str(into)], f"the content of {package.name}")


def _printed(command: Sequence[str], what: str, folder: Path | None = None) -> str:
    """Return what a command prints.

    Raises
    ------
    Missing
        If it fails; then there is not `what` it should bring.
    """
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or [f"exit code {done.returncode}"]
        raise Missing(f"an emulated device lacks {what}: {said[-1].strip()}")
    return done.stdout
