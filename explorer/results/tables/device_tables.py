"""Entries of a devices file, and what of a device answers → tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table

from dlas_ops.processor import instruction_sets
from explorer.results import readable
from explorer.results.measured_on import MeasuredOn, warnings

if TYPE_CHECKING:
    from explorer.line.probing.answers import Answers, Description, Gpu
    from explorer.space.devices import Device

NOTHING = "-"
RUNS = "TVM's RPC runs what it is sent"
OPEN_TO = {
    "user": "this user alone",
    "machine": f"all users of its machine: {RUNS}",
    "network": f"everybody who reaches it: {RUNS}; ssh in the entry needs no open port",
}


def devices_table(devices: list[Device]) -> Table:
    """Return one line per device."""
    table = readable.table("device", "tracker", "key", "target", "cores", "description")
    for device in devices:
        target = device.target if isinstance(device.target, str) else _target(device.target)
        cores = "all" if device.cores is None else ", ".join(map(str, device.cores))
        name = readable.device(device.name, device.emulated)
        table.add_row(name, device.address, device.key, target, cores, device.description)
    return table


def _target(target: Mapping[str, object]) -> str:
    values = {key: f"({_target(value)})" if isinstance(value, dict) else value for key, value in target.items()}
    return " ".join(f"{key}={value}" for key, value in values.items())


def answers_table(answers: Answers) -> Table:
    """Return what of a device answers, one fact a line; a dash stands for what could not be read or measured."""
    table = readable.table("", readable.device(answers.device, answers.emulated))
    gpu = _gpu(answers.gpu) if answers.gpu else {}
    rows = {**_reached(answers), **gpu, **_described(answers.says), **_measured(answers)}
    for name, value in rows.items():
        table.add_row(name, value or NOTHING)
    return table


def _reached(answers: Answers) -> dict[str, str]:
    return {
        "tracker": f"{answers.address} {'answers' if answers.tracker else 'does not answer'}",
        "server": f"key '{answers.key}' {'answers' if answers.server else 'gives no session'}",
        "open to": OPEN_TO[answers.open_to] if answers.tracker else "",
        "target": _target(answers.target) if answers.target else "",
        "round trip": _number(answers.round_trip_ms, "ms", 3),
        "upload": _number(answers.upload_mb_s, "MB/s"),
        "threads offered": _number(answers.threads),
    }


def _described(says: Description) -> dict[str, str]:
    named = instruction_sets.names(says.architecture)
    return {
        "processor": str(says) if says.model or says.architecture else "",
        "mcpu by LLVM": says.mcpu or "",
        "instruction sets": " ".join(each for each in says.instruction_sets or () if each in named),
        "cores": _number(says.cores),
        "memory": f"{readable.size(says.memory_bytes)}{_free(says)}" if says.memory_bytes else "",
        "governor": says.governor or "",
        "temperature": _number(says.temperature_c, "°C"),
        "kernel": says.kernel or "",
    }


def _gpu(says: Gpu) -> dict[str, str]:
    version = {"opencl": "OpenCL version", "cuda": "compute capability"}[says.kind]
    return {
        "GPU": str(says),
        "GPU's units": _number(says.units),
        "work-group": f"at most {says.threads} threads" if says.threads else "",
        "warp": f"{says.warp} threads" if says.warp else "",
        "shared memory": f"{says.shared_bytes} B for a work-group" if says.shared_bytes is not None else "",
        "GPU's memory": readable.size(says.memory_bytes) if says.memory_bytes else "",
        version: says.version or "",
        "GPU's driver": says.driver or "",
        "float16": {None: "", True: "stored there", False: "not there"}[says.float16],
        "int8 products": {None: "", True: "by an instruction", False: "not as the target says"}[says.int8_dot],
    }


def _measured(answers: Answers) -> dict[str, str]:
    peaks = answers.peaks
    threads = f"on {answers.threads} threads" if answers.threads != 1 else "on 1 thread"
    tried = answers.control is not None
    return {
        "C compiler": "" if answers.compiler is None else "links libraries there" if answers.compiler else "none",
        "control": (answers.control or "runs") if tried else "",
        "its readings": ", ".join(answers.readings),
        "peak, float32": _both(peaks.gflop_s, peaks.gflop_s_one_thread, "GFLOP/s", threads) if peaks else "",
        "memory read": _both(peaks.gb_s, peaks.gb_s_one_thread, "GB/s", threads) if peaks else "",
    }


def _free(says: Description) -> str:
    return f", {readable.size(says.free_bytes)} of it free" if says.free_bytes else ""


def _both(on_all: float, on_one: float | None, unit: str, threads: str) -> str:
    if on_one is None:
        return f"{on_all:.1f} {unit} on the GPU"
    return f"{on_all:.1f} {unit} {threads}, {on_one:.1f} on one"


def _number(value: float | None, unit: str = "", digits: int = 0) -> str:
    return "" if value is None else f"{value:.{digits}f} {unit}".strip()


def measured_on_text(devices: Sequence[MeasuredOn]) -> Iterator[RenderableType]:
    """Yield what each device was when trials were measured on it, and which of them do not compare."""
    if devices:
        table = readable.table("device", "measured on", "trials")
        for each in devices:
            table.add_row(each.device, each.identity, str(len(each.trials)))
        yield table
    yield from warnings(devices)
