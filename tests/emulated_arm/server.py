"""An Arm system under emulation → a tracker here that knows its RPC server, as it knows that of a board.

The commands are those of docs/devices.md. Facts about the emulator, Debian's qemu-user-static 7.2:

- It starts no program of the system by itself without binfmt_misc: whatever a program of the system starts is a script
  of this machine that starts the emulator again. Python starts itself for the server, so ``sys.executable`` must be
  such a script: the emulator's option -0 says so.
- Files are looked up in the system's root first and then on this machine, /proc too. There is no /proc/cpuinfo of the
  emulated processor, so the root has one, made of what the auxiliary vector says there (HWCAP).
- /proc/self/stat is made up, with zeros for processor time. So nobody tells what others had of a session's.
- ``import tvm`` takes 12 s on one core of Zen 4, and the server does it twice. A call over RPC takes 1 ms.
  Arithmetic in float32, and networks in it, take 300 times as long as on this machine; networks in half take three to
  six times as long as in float32, and those in int8 half to a tenth of it.
- Only linking happens there, by binutils alone: object code of LLVM needs nothing of a compiler's own libraries.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from explorer.core.errors import DeviceError, did_you_mean
from explorer.line.probing.self_description import PARTS
from tests.emulated_arm.packages import SITE, Missing, System
from tests.guard import guarded

CPU = "cortex-a76"  # has half and dot products, and a board in shops: Raspberry Pi 5
KEY = "arm"
START_SECONDS = 180
# Names in /proc/cpuinfo of the bits of AT_HWCAP and AT_HWCAP2, from the lowest (Linux, arch/arm64/kernel/cpuinfo.c).
HWCAP = """
    fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3 sm3 sm4
    asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg
""".split()  # noqa: SIM905
HWCAP2 = """
    dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm svef32mm svef64mm svebf16 i8mm bf16 dgh
    rng bti mte
""".split()  # noqa: SIM905
READ_HWCAP = (
    "import ctypes; read = ctypes.CDLL(None).getauxval; read.restype = ctypes.c_ulong; print(read(16), read(26))"
)


@contextlib.contextmanager
def server(system: System, cpu: str = CPU, key: str = KEY, threads: int = 1) -> Iterator[str]:
    """Run a tracker here and a server in the system, registered as `key`; give the tracker's ``host:port``.

    Parameters
    ----------
    cpu
        The processor that is emulated, by a name that the emulator and LLVM know.
    threads
        That the server computes on.

    Raises
    ------
    Missing
        If the emulator does not know the processor, or the server does not come up.
    """
    with tempfile.TemporaryDirectory(prefix="emulated-arm-") as name, contextlib.ExitStack() as running:
        folder = Path(name)
        own = _root(system, cpu, folder)
        scripts = _scripts(own, cpu, folder / "bin")
        port, serves = _free_port(), _free_port()
        tracker = f"127.0.0.1:{port}"
        at = ["--host", "127.0.0.1", "--port", str(port), "--port-end", str(port + 1)]
        running.enter_context(guarded([sys.executable, "-m", "tvm.exec.rpc_tracker", *at], folder, {}))
        environment = {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "TMPDIR": name,
            "TVM_NUM_THREADS": str(threads),
        }
        at = ["--tracker", tracker, "--key", key, "--port", str(serves), "--port-end", str(serves + 1)]
        command = [str(scripts / "python"), "-m", "tvm.exec.rpc_server", *at]
        process = running.enter_context(guarded(command, folder, environment))
        _await(process, tracker, key, folder / "log")
        yield tracker


def entry(tracker: str, cpu: str = CPU, key: str = KEY, threads: int = 1) -> str:
    """Return the device's entry of a devices file."""
    target = f'kind = "llvm", mtriple = "aarch64-linux-gnu", mcpu = "{cpu}", num-cores = {threads}'
    return f'[{key}]\ntracker = "{tracker}"\ntarget = {{ {target} }}\nemulated = true\n'


def _root(system: System, cpu: str, folder: Path) -> System:
    """Return the system with a /proc/cpuinfo of the processor, its other folders being links."""
    root = folder / "root"
    (root / "proc").mkdir(parents=True)
    for each in system.root.iterdir():
        (root / each.name).symlink_to(each)
    own = System(system.emulator, root)
    if cpu not in (known := own.processors()):
        raise Missing(f"the emulator knows no processor '{cpu}'{did_you_mean(cpu, known)}")
    bits, more = map(int, own.printed("usr/bin/python3", "-c", READ_HWCAP, cpu=cpu).split())
    names = [name for index, name in enumerate(HWCAP) if bits >> index & 1]
    names += [name for index, name in enumerate(HWCAP2) if more >> index & 1]
    part = next((part for part, name in PARTS.items() if name == cpu), "0x0")
    lines = f"Features\t: {' '.join(names)}\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: {part}\n\n"
    cores = range(len(os.sched_getaffinity(0)))
    (root / "proc" / "cpuinfo").write_text("".join(f"processor\t: {core}\n{lines}" for core in cores))
    return own


def _scripts(system: System, cpu: str, folder: Path) -> Path:
    """Return a folder of programs that the server starts: itself again, and what TVM takes for a compiler."""
    folder.mkdir()
    programs = {
        "python": system.command("usr/bin/python3", cpu=cpu, name=str(folder / "python")),
        "g++": system.command("usr/bin/ld", cpu=cpu),
    }
    for name, command in programs.items():
        script = folder / name
        script.write_text(f'#!/bin/sh\nPYTHONPATH={system.root / SITE} exec {" ".join(command)} "$@"\n')
        script.chmod(0o755)
    return folder


def _await(process: subprocess.Popen[bytes], tracker: str, key: str, log: Path) -> None:
    """Return once the tracker knows the server."""
    from explorer.line.device.tracker import Tracker  # TVM, which only a server needs

    end = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.5)
        with contextlib.suppress(DeviceError):
            known = Tracker(tracker, key)
            served = known.servers()
            known.close()
            if served:
                return
    said = log.read_text(errors="replace").strip().splitlines() or ["it says nothing"]
    raise Missing(f"the emulated RPC server does not come up: {said[-1]}")


def _free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port
