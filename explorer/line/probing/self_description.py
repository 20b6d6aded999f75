"""A session on a device → what its server and the files of its system say that it is.

The program that reads files is compiled for the baseline of the device's architecture, never for the processor that
the devices file claims: that one's instructions might end the server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import tvm

from dlas_ops import control
from dlas_ops.processor.instruction_sets import BASELINES, FIELDS, architecture_of
from explorer.line.device import rpc
from explorer.line.device.control import FILES, contents
from explorer.line.probing.answers import Description

Read = Callable[[str], str]  # a file's name → its beginning; nothing if it cannot be read

# Functions of a server that has TVM's compiler.
TRIPLE, CPU = "target.llvm_get_system_triple", "target.llvm_get_system_cpu"
# Where a board says its name.
BOARD = "/proc/device-tree/model"
# The numbers in /proc/cpuinfo of cores that ARM itself designed → LLVM's names of them.
PARTS: Mapping[str, str] = {
    "0xd03": "cortex-a53", "0xd04": "cortex-a35", "0xd05": "cortex-a55", "0xd07": "cortex-a57", "0xd08": "cortex-a72",
    "0xd09": "cortex-a73", "0xd0a": "cortex-a75", "0xd0b": "cortex-a76", "0xd0c": "neoverse-n1", "0xd0d": "cortex-a77",
    "0xd40": "neoverse-v1", "0xd41": "cortex-a78", "0xd44": "cortex-x1", "0xd46": "cortex-a510",
    "0xd47": "cortex-a710", "0xd49": "neoverse-n2", "0xd4d": "cortex-a715", "0xd4f": "neoverse-v2",
    "0xd80": "cortex-a520", "0xd81": "cortex-a720",
}  # fmt: skip
ARM = "0x41"
# Files of a core that say how fast it can be, beside the other cores of a system and in kHz.
KINDS = ("cpu_capacity", "cpufreq/cpuinfo_max_freq")
MOST_CORES = 64  # that are asked: each file takes a call


class Reached(NamedTuple):
    """The description of a device.

    Parameters
    ----------
    failure
        Why no library can be linked and loaded there; "" if one was.
    core_kinds
        How the cores differ that its server may use, as far as its system says: one kind where all are alike.
    """

    says: Description
    failure: str
    core_kinds: tuple[str, ...] = ()


def described(session: Any, likely: str) -> Reached:
    """Ask a device what it is.

    Parameters
    ----------
    likely
        The architecture to try first on a server that does not know its own.
    """
    triple, mcpu = _said(session, TRIPLE), _said(session, CPU)
    known = architecture_of(triple) if triple else None
    failure = f"there is no program that reads files on {known}"
    for architecture in (known,) if known else sorted(BASELINES, key=lambda name: name != likely):
        if architecture in BASELINES:
            try:
                read = _reader(session, architecture)
                return Reached(parsed(read, architecture, mcpu), "", core_kinds(read))
            except Exception as error:  # a device raises what it likes
                failure = last_line(error)
    return Reached(Description(architecture=known, mcpu=mcpu), failure)


def parsed(read: Read, architecture: str, mcpu: str | None = None) -> Description:
    """Return what the files say that `read` reads.

    Parameters
    ----------
    mcpu
        LLVM's name of the processor, where the server knows it.
    """
    cpuinfo, memory = read("/proc/cpuinfo"), read("/proc/meminfo")
    parts = [PARTS[part] for part in _parts(cpuinfo) if part in PARTS]
    names = read(BOARD).strip("\0\n "), _field(cpuinfo, "model name") or ", ".join(parts)
    sets = _field(cpuinfo, FIELDS[architecture])
    path, units = FILES["temperature_c"]
    return Description(
        architecture=architecture,
        model=", ".join(name for name in names if name) or None,
        mcpu=mcpu or (parts[-1] if parts else None),
        instruction_sets=tuple(sorted(set(sets.split()))) if sets else None,
        cores=_count(read("/sys/devices/system/cpu/online")),
        memory_bytes=_kilobytes(memory, "MemTotal"),
        free_bytes=_kilobytes(memory, "MemAvailable"),
        governor=read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None,
        temperature_c=_number(read(path), units),
        kernel=read("/proc/sys/kernel/osrelease").strip() or None,
    )


def core_kinds(read: Read) -> tuple[str, ...]:
    """Return the kinds of the cores that the process which reads may use, by their capacity and highest clock."""
    kinds = set()
    for core in _numbers(_field(read("/proc/self/status"), "Cpus_allowed_list"))[:MOST_CORES]:
        said = (read(f"/sys/devices/system/cpu/cpu{core}/{name}").strip() for name in KINDS)
        kinds.add(" ".join(filter(None, said)))
    return tuple(sorted(kinds - {""}))


def last_line(error: Exception) -> str:
    """Return the last line of what an error says, cut to the length of a sentence."""
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[-1].strip()[:200]


def _said(session: Any, function: str) -> str | None:
    with suppress(Exception):  # a server without the compiler lacks it
        return str(session.get_function(function)()) or None
    return None


def _reader(session: Any, architecture: str) -> Read:
    with TemporaryDirectory() as folder:
        library = Path(folder) / f"reader-{architecture}.tar"
        control.build_reader(tvm.target.Target(dict(BASELINES[architecture]))).export_library(str(library))
        programs = session.load_module(rpc.place(session, library))
    return lambda path: contents(programs, session.cpu(), path)


def _field(text: str, name: str) -> str:
    """Return the first value of that name in ``name : value`` lines, a line that was cut off left out."""
    found = re.search(rf"^{name}\s*:[ \t]*(.*)\n", text, re.MULTILINE)
    return found[1].strip() if found else ""


def _parts(cpuinfo: str) -> Iterable[str]:
    """Return the numbers of the different cores of ARM's own design, in their order."""
    if _field(cpuinfo, "CPU implementer") != ARM:
        return []
    return dict.fromkeys(re.findall(r"^CPU part\s*:\s*(\w+)\n", cpuinfo, re.MULTILINE))


def _kilobytes(text: str, name: str) -> int | None:
    number = _field(text, name).split()
    return 1024 * int(number[0]) if number else None


def _number(text: str, units: float) -> float | None:
    with suppress(ValueError):
        return float(text) / units
    return None


def _count(ranges: str) -> int | None:
    """Return how many there are in a list such as ``0-3,6``."""
    return len(_numbers(ranges)) or None


def _numbers(ranges: str) -> list[int]:
    """Return the numbers in a list such as ``0-3,6``; none if it is no such list."""
    with suppress(ValueError):
        ends = [part.split("-") for part in ranges.strip().split(",")]
        return [number for end in ends for number in range(int(end[0]), int(end[-1]) + 1)]
    return []
