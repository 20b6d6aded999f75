"""How a device describes itself: by scripted files of real processors, and for real in a session in this process."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import pytest
from tvm import rpc as tvm_rpc

from explorer.line.device import rpc
from explorer.line.probing import self_description
from explorer.line.probing.answers import Description
from explorer.line.probing.self_description import parsed
from tests.explorer.line.probing.processors import CORTEX_A72, CORTEX_A76, RK3399, ZEN3, described, files

PI = {
    "__proc__device-tree__model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "__proc__meminfo": "MemTotal:        3884376 kB\nMemFree:         2989316 kB\nMemAvailable:    3498416 kB\n",
    "__sys__devices__system__cpu__online": "0-3\n",
    "__sys__devices__system__cpu__cpu0__cpufreq__scaling_governor": "ondemand\n",
    "__sys__class__thermal__thermal_zone0__temp": "48199\n",
}


def test_a_board_says_all_of_itself() -> None:
    assert parsed(files(CORTEX_A72, **PI), "aarch64") == Description(
        architecture="aarch64",
        model="Raspberry Pi 4 Model B Rev 1.4, cortex-a72",
        mcpu="cortex-a72",
        instruction_sets=("asimd", "cpuid", "crc32", "evtstrm", "fp"),
        cores=4,
        memory_bytes=3884376 * 1024,
        free_bytes=3498416 * 1024,
        governor="ondemand",
        temperature_c=48.199,
        kernel="6.6.31+rpt-rpi-v8",
    )


def test_what_a_system_does_not_say_is_none() -> None:
    assert parsed(lambda path: "", "aarch64") == Description(architecture="aarch64")
    assert parsed(lambda path: "not supported", "x86_64", "znver3") == Description(
        "x86_64", "not supported", "znver3", governor="not supported", kernel="not supported"
    )


@pytest.mark.parametrize(
    ("cpuinfo", "mcpu", "model"),
    [
        (CORTEX_A72, "cortex-a72", "cortex-a72"),
        (CORTEX_A76, "cortex-a76", "cortex-a76"),
        (RK3399, "cortex-a72", "cortex-a53, cortex-a72"),
        (CORTEX_A76.replace("0xd0b", "0xfff"), None, None),
        (CORTEX_A76.replace("0x41", "0x61"), None, None),  # Apple numbers its own
        (ZEN3, None, "AMD EPYC 7763 64-Core Processor"),
    ],
)
def test_processors_have_names(cpuinfo: str, mcpu: str | None, model: str | None) -> None:
    assert (described(cpuinfo).mcpu, described(cpuinfo).model) == (mcpu, model)
    assert described(cpuinfo, "by its server").mcpu == "by its server"


def test_a_line_that_is_cut_off_says_nothing() -> None:
    whole = described(ZEN3)
    assert whole.instruction_sets is not None
    cut = ZEN3[: ZEN3.index("avx2")]
    assert described(cut).instruction_sets is None
    assert described(cut).model == whole.model


def test_an_emulated_processor_does_not_have_the_flags_of_its_host() -> None:
    assert parsed(files(ZEN3), "aarch64").instruction_sets is None


@pytest.mark.parametrize(
    ("text", "cores"), [("0\n", 1), ("0-3\n", 4), ("0-1,4-7\n", 6), ("0,2,5\n", 3), ("", None), ("all", None)]
)
def test_cores_are_counted(text: str, cores: int | None) -> None:
    assert parsed(files("", __sys__devices__system__cpu__online=text), "x86_64").cores == cores


class Session:
    """A session in this process, whose server lacks some functions."""

    def __init__(self, *lacks: str) -> None:
        self._session: Any = tvm_rpc.LocalSession()
        self._lacks = lacks
        self.cpu = self._session.cpu
        self.upload = self._session.upload
        self.load_module = self._session.load_module

    def get_function(self, name: str) -> Any:
        if name in self._lacks:
            raise AttributeError(f"no function {name}")
        return self._session.get_function(name)


def test_this_machine_says_what_it_is() -> None:
    says, failure, _ = self_description.described(Session(), "")
    assert failure == ""
    assert says.architecture == platform.machine()
    assert says.kernel == platform.release()
    assert says.cores == os.cpu_count()
    assert says.memory_bytes == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert says.mcpu
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = next(line for line in lines if line.startswith(("flags", "Features")))
    assert says.instruction_sets == tuple(sorted(set(flags.partition(":")[2].split())))


@pytest.mark.parametrize("likely", ["x86_64", "aarch64"])
def test_a_server_without_the_compiler_has_the_architecture_whose_program_it_links(likely: str) -> None:
    session = Session(self_description.TRIPLE, self_description.CPU)
    says, failure, _ = self_description.described(session, likely)
    assert (says.architecture, says.kernel, failure) == (platform.machine(), platform.release(), "")


def test_a_server_that_cannot_link_has_its_architecture_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(*_: object) -> str:
        raise RuntimeError("Traceback …\nCannot find a C compiler")

    monkeypatch.setattr(rpc, "place", place)
    says, failure, _ = self_description.described(Session(), "")
    assert failure == "Cannot find a C compiler"
    assert says == Description(architecture=platform.machine(), mcpu=says.mcpu)
    unknown = self_description.described(Session(self_description.TRIPLE, self_description.CPU), "x86_64")
    assert unknown == (Description(), failure, ())


def test_of_other_architectures_no_file_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_description, "_said", lambda session, function: "riscv64-unknown-linux-gnu")
    says, failure, _ = self_description.described(Session(), "")
    assert (says.architecture, says.instruction_sets) == ("riscv64", None)
    assert failure == "there is no program that reads files on riscv64"


def test_cores_are_of_as_many_kinds_as_their_system_says() -> None:
    files = {
        "/proc/self/status": "Name:\tx\nCpus_allowed_list:\t0-1,4\nMems_allowed:\t1\n",
        "/sys/devices/system/cpu/cpu0/cpu_capacity": "381\n",
        "/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "1800000\n",
        "/sys/devices/system/cpu/cpu1/cpu_capacity": "381\n",
        "/sys/devices/system/cpu/cpu1/cpufreq/cpuinfo_max_freq": "1800000\n",
        "/sys/devices/system/cpu/cpu2/cpu_capacity": "600\n",
        "/sys/devices/system/cpu/cpu4/cpu_capacity": "1024\n",
    }
    assert self_description.core_kinds(lambda path: files.get(path, "")) == ("1024", "381 1800000")
    assert self_description.core_kinds(lambda path: "") == (), "a system that does not say"
