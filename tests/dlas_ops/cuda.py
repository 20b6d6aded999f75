"""A scheduled program for a CUDA target → its CUDA C, and what NVRTC makes of it: registers, and spills in loops."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import subprocess
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from dlas_ops._tvm import tvm
from dlas_ops._types import PrimFunc, Target
from dlas_ops.passes.pipeline import PIPELINE

HOST = {"kind": "llvm", "mcpu": "generic", "mtriple": "aarch64-linux-gnu"}
_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_SPILLS = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads")
_REGISTERS = re.compile(r"Used (\d+) registers")

# The parts of CUDA's C++ library that TVM's sources name, which torch does not bring.
_HEADERS = {
    "cuda/std/cstdint": """
namespace cuda { namespace std {
typedef signed char int8_t; typedef short int16_t; typedef int int32_t; typedef long long int64_t;
typedef unsigned char uint8_t; typedef unsigned short uint16_t; typedef unsigned uint32_t;
typedef unsigned long long uint64_t;
} }
""",
    "cuda/std/type_traits": """
namespace cuda { namespace std {
template <class A, class B> struct is_same { static const bool value = false; };
template <class A> struct is_same<A, A> { static const bool value = true; };
template <class A, class B> inline constexpr bool is_same_v = is_same<A, B>::value;
template <class A> struct is_integral; template <class A> struct is_signed; template <class A> struct is_unsigned;
template <class A> struct is_floating_point;
template <bool B, class T = void> struct enable_if {}; template <class T> struct enable_if<true, T> { typedef T type; };
template <bool B, class T, class F> struct conditional { typedef T type; };
} }
""",
}


class Kernel(NamedTuple):
    """Registers and spills of each thread of a compiled kernel.

    A register that is stored before the loops and loaded after them counts as spilled bytes, not as spills in loops:
    instructions there that store or load a register.
    """

    name: str
    registers: int
    spilled_bytes: int
    spills_in_loops: int


def target(arch: str) -> Target:
    """Return the target of an architecture, such as sm_87."""
    return tvm.target.Target({"kind": "cuda", "arch": arch, "host": HOST})


def source_of(function: PrimFunc, arch: str) -> str:
    """Return the CUDA C of a scheduled program."""
    library = tvm.compile(tvm.IRModule({"main": function}), target(arch), tir_pipeline=PIPELINE)
    return str(library.mod.imports[0].inspect_source("cuda"))


def _strings(texts: list[bytes]) -> ctypes.Array[ctypes.c_char_p]:
    return (ctypes.c_char_p * len(texts))(*texts)


def _places() -> list[Path]:
    """Return the folders of NVIDIA's packages that torch brings."""
    found = importlib.util.find_spec("nvidia")
    return [Path(place) for place in (found.submodule_search_locations or [])] if found else []


def _include_options() -> list[bytes]:
    return [
        f"--include-path={header.parent}".encode()
        for place in _places()
        for header in place.glob("*/include/cuda_fp16.h")
    ]


@cache
def _nvrtc() -> ctypes.CDLL:
    """Return the compiler that torch brings; a test that asks for it is skipped where torch brings none."""
    for place in _places():
        for library in sorted(place.glob("*/lib/libnvrtc.so.*")):
            for builtins in library.parent.glob("libnvrtc-builtins.so.*"):  # which it looks up by name
                ctypes.CDLL(str(builtins))
            return ctypes.CDLL(str(library))
    pytest.skip("there is no NVRTC: this build of torch has no CUDA")


def oldest() -> str:
    """Return the oldest architecture that NVRTC compiles for."""
    count = ctypes.c_int()
    _nvrtc().nvrtcGetNumSupportedArchs(ctypes.byref(count))
    known = (ctypes.c_int * count.value)()
    _nvrtc().nvrtcGetSupportedArchs(known)
    return f"sm_{min(known)}"


def compiled(source: str, arch: str) -> list[Kernel]:
    """Return what each kernel of a CUDA C `source` takes on `arch`.

    Raises
    ------
    ValueError
        If it does not compile; the message is the compiler's.
    """
    nvrtc, program = _nvrtc(), ctypes.c_void_p()
    texts, names = ([text.encode() for text in texts] for texts in (_HEADERS.values(), _HEADERS))
    headers = _strings(texts), _strings(names)
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", len(_HEADERS), *headers)
    options = [f"--gpu-architecture={arch}".encode(), b"--ptxas-options=-v", *_include_options()]
    failed = nvrtc.nvrtcCompileProgram(program, len(options), _strings(options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    if failed:
        raise ValueError(log.value.decode())
    nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size))
    code = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetCUBIN(program, code)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return list(_kernels(log.value.decode(), code.raw))


def _kernels(log: str, code: bytes) -> Iterator[Kernel]:
    texts: dict[str, str] = {}
    for part in re.split(r"(?=ptxas info\s+: Compiling entry)", log):
        if entry := _ENTRY.search(part):
            spilled, registers = _SPILLS.search(part), _REGISTERS.search(part)
            assert spilled is not None, part
            assert registers is not None, part
            spilled_bytes = int(spilled[1]) + int(spilled[2])
            texts = texts or (_disassembled(code) if spilled_bytes else {})
            in_loops = _spills_in_loops(texts[entry[1]]) if spilled_bytes else 0
            yield Kernel(entry[1], int(registers[1]), spilled_bytes, in_loops)


def _disassembled(code: bytes) -> dict[str, str]:
    """Return the instructions of each kernel of a binary, by the disassembler that triton brings."""
    found = importlib.util.find_spec("triton")
    places = [Path(place) for place in (found.submodule_search_locations or [])] if found else []
    program = next((path for place in places for path in place.glob("backends/nvidia/bin/nvdisasm")), None)
    if program is None:
        pytest.skip("there is no nvdisasm, which triton brings, to tell where a kernel spills")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        text = subprocess.run([program, "-c", file.name], capture_output=True, text=True, check=True).stdout
    parts = re.split(r"\.section\s+\.text\.(\w+)", text)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _spills_in_loops(text: str) -> int:
    """Return how many instructions between a label and a jump back to it store or load a spilled register."""
    labels: dict[str, int] = {}
    inside = set[int]()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if label := re.match(r"\s*(\.L_\w+):", line):
            labels[label[1]] = number
        elif (jump := re.search(r"BRA[\w.]* .*?`\((\.L_\w+)\)", line)) and jump[1] in labels:
            inside |= set(range(labels[jump[1]], number))
    return sum(bool(re.search(r"\b(STL|LDL)\b", lines[number])) for number in inside)
