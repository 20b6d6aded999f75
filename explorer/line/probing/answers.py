"""Types of what a device says of itself and of what a check of it finds; None is what cannot be read there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Description:
    """A device, by the account of its server and its system.

    Attributes
    ----------
    architecture : as ``uname -m`` has it: ``"x86_64"``, ``"aarch64"``
    model : the name of the processor and, of a board, that of the board
    mcpu : LLVM's name of the processor
    instruction_sets : as the first processor of /proc/cpuinfo names them, sorted
    cores : that are online
    memory_bytes, free_bytes : all of it, and what programs could have now
    governor, temperature_c : of the first core
    kernel : Linux' version
    """

    architecture: str | None = None
    model: str | None = None
    mcpu: str | None = None
    instruction_sets: tuple[str, ...] | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    free_bytes: int | None = None
    governor: str | None = None
    temperature_c: float | None = None
    kernel: str | None = None

    def __str__(self) -> str:
        """Return the names of processor and architecture, ready to stand in a sentence."""
        model, architecture = self.model or self.mcpu, self.architecture or "an unknown architecture"
        return f"{model} ({architecture})" if model else architecture


@dataclass(frozen=True)
class Gpu:
    """A GPU, by the account of its driver.

    Attributes
    ----------
    kind : of the target that it runs code for, ``"opencl"`` or ``"cuda"``
    threads : of a work-group, at most
    warp : threads that run in step; OpenCL does not say
    shared_bytes : memory that the threads of a work-group share
    units : multiprocessors of CUDA, compute units of OpenCL
    memory_bytes : all of it
    version : compute capability of CUDA, or the version of OpenCL
    driver : its version
    float16 : whether kernels can store it
    int8_dot : whether it has the instruction for products of int8 that its target stands for; None if that has none
    """

    kind: str
    name: str | None = None
    threads: int | None = None
    warp: int | None = None
    shared_bytes: int | None = None
    units: int | None = None
    memory_bytes: int | None = None
    version: str | None = None
    driver: str | None = None
    float16: bool | None = None
    int8_dot: bool | None = None

    def __str__(self) -> str:
        """Return its name, ready to stand in a sentence."""
        return self.name or f"a GPU of kind {self.kind}"


@dataclass(frozen=True)
class Peaks:
    """The most that a device does of float32: a GPU as a whole, a processor on all threads that it offers and on one.

    Attributes
    ----------
    gflop_s, gflop_s_one_thread : billions of multiplications and additions in a second, in registers
    gb_s, gb_s_one_thread : billions of bytes read in a second, of `read_bytes` of memory
    """

    gflop_s: float
    gflop_s_one_thread: float | None
    gb_s: float
    gb_s_one_thread: float | None
    read_bytes: int


@dataclass(frozen=True)
class Answers:
    """The answers of a device that is checked.

    Attributes
    ----------
    device, address, key : its entry, and where it was looked for
    tracker, server : whether each answers
    target : the TVM target that it would be measured with
    round_trip_ms : a call over RPC without work
    upload_mb_s : millions of bytes sent to it in a second
    threads : that its server offers
    says : its own description, of a GPU that of its processor
    compiler : whether a library was linked there; None where that was not tried
    control : what the control cannot run or read there; None where it was not tried, "" if all is there
    readings : those of the control that the device has
    peaks : measured with code for its target
    emulated : whether its entry says so
    refusal : why it cannot be measured on, in one sentence with the next command to type; "" if it can be
    gpu : the GPU's own description, where the target is for one
    open_to : who may run code there by TVM's RPC: this ``"user"`` alone, all users of its ``"machine"``, or the
        ``"network"``
    """

    device: str
    address: str
    key: str
    tracker: bool = False
    server: bool = False
    target: Mapping[str, Any] | None = None
    round_trip_ms: float | None = None
    upload_mb_s: float | None = None
    threads: int | None = None
    says: Description = Description()
    compiler: bool | None = None
    control: str | None = None
    readings: tuple[str, ...] = ()
    peaks: Peaks | None = None
    emulated: bool = False
    refusal: str = ""
    gpu: Gpu | None = None
    open_to: str = "network"

    def as_dict(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Answers:
        """Return the answers that `as_dict` gave, after a way through JSON."""
        says = dict(values["says"])
        sets = says.pop("instruction_sets")
        description = Description(**says, instruction_sets=None if sets is None else tuple(sets))
        peaks = values["peaks"] and Peaks(**values["peaks"])
        gpu = values["gpu"] and Gpu(**values["gpu"])
        own = {"says": description, "gpu": gpu, "peaks": peaks, "readings": tuple(values["readings"])}
        return cls(**{**values, **own})
