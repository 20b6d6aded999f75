from __future__ import annotations

from dataclasses import replace

from explorer.line.probing.answers import Answers, Description, Gpu, Peaks
from explorer.results.tables import device_tables
from explorer.space.devices import Device
from tests.explorer.shown import shown, squeezed

TARGET = {"kind": "llvm", "mcpu": "cortex-a72"}
SAYS = Description(
    "aarch64", "Raspberry Pi 4", "cortex-a72", ("asimd", "crc32", "fp"), 4, 4 * 10**9, None, "ondemand", 48.2, "6.6.31"
)
BOARD = Answers(
    "board", "lan:9190", "board", True, True, TARGET, 1.2345, 11.4, 4, SAYS, True, "", ("arithmetic", "memory"),
    Peaks(42.04, 11.26, 4.1, 3.9, 1 << 28),
)  # fmt: skip


def test_devices_are_a_line_each() -> None:
    board = Device(name="board", tracker="lan:9190", key="board", target=TARGET, cores=(0, 1))
    _, line = shown(device_tables.devices_table([board]))
    assert squeezed(line) == "board lan:9190 board kind=llvm mcpu=cortex-a72 0, 1"


def test_an_emulated_device_is_marked() -> None:
    board = Device(name="arm", tracker="lan:9190", key="arm", emulated=True)
    assert squeezed(shown(device_tables.devices_table([board]))[1]).startswith("arm (emulated) lan:9190")
    assert squeezed(shown(device_tables.answers_table(replace(BOARD, emulated=True)))[0]) == "board (emulated)"


def test_all_that_answers_is_shown() -> None:
    assert [squeezed(line) for line in shown(device_tables.answers_table(BOARD))] == [
        " board".strip(),
        "tracker lan:9190 answers",
        "server key 'board' answers",
        "open to everybody who reaches it: TVM's RPC runs what it is sent; ssh in the entry needs no open port",
        "target kind=llvm mcpu=cortex-a72",
        "round trip 1.234 ms",
        "upload 11 MB/s",
        "threads offered 4",
        "processor Raspberry Pi 4 (aarch64)",
        "mcpu by LLVM cortex-a72",
        "instruction sets asimd",
        "cores 4",
        "memory 4 GB",
        "governor ondemand",
        "temperature 48 °C",
        "kernel 6.6.31",
        "C compiler links libraries there",
        "control runs",
        "its readings arithmetic, memory",
        "peak, float32 42.0 GFLOP/s on 4 threads, 11.3 on one",
        "memory read 4.1 GB/s on 4 threads, 3.9 on one",
    ]


def test_of_a_gpu_its_own_lines_come_before_the_processors() -> None:
    target = {"kind": "opencl", "device": "mali", "host": TARGET}
    mali = Gpu("opencl", "Mali-G610", 1024, None, 32768, 4, 4 * 10**9, "3.0", "v1.g6p0", False, True)
    answers = replace(BOARD, target=target, gpu=mali, peaks=Peaks(402.04, None, 14.1, None, 1 << 28))
    lines = [squeezed(line) for line in shown(device_tables.answers_table(answers))]
    assert lines[4] == "target kind=opencl device=mali host=(kind=llvm mcpu=cortex-a72)"
    assert lines[8:19] == [
        "GPU Mali-G610",
        "GPU's units 4",
        "work-group at most 1024 threads",
        "warp -",
        "shared memory 32768 B for a work-group",
        "GPU's memory 4 GB",
        "OpenCL version 3.0",
        "GPU's driver v1.g6p0",
        "float16 not there",
        "int8 products by an instruction",
        "processor Raspberry Pi 4 (aarch64)",
    ]
    assert lines[-2:] == ["peak, float32 402.0 GFLOP/s on the GPU", "memory read 14.1 GB/s on the GPU"]


def test_what_was_not_read_is_a_dash() -> None:
    lines = [squeezed(line) for line in shown(device_tables.answers_table(Answers("board", "lan:9190", "b")))[1:]]
    assert lines[:2] == ["tracker lan:9190 does not answer", "server key 'b' gives no session"]
    assert all(line.endswith(" -") for line in lines[2:])
    assert not any("0" in line for line in lines[2:])


def test_what_a_device_lacks_is_said() -> None:
    lacking = replace(BOARD, compiler=False, control="no function [open]")
    lines = [squeezed(line) for line in shown(device_tables.answers_table(lacking))]
    assert "C compiler none" in lines
    assert "control no function [open]" in lines
