"""Instructions that multiply matrices (Intel's AMX) → the functions in LLVM's language that tensor programs call.

A processor with AMX has eight registers of 16 rows of 64 bytes. One instruction multiplies a matrix of points x groups
of values by one of groups x lanes, and adds the products to a matrix of sums of points x lanes. A thread says how large
its matrices are before it uses them, and frees them afterwards, so that nobody saves them when threads change places;
a process asks Linux for the registers once.

Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18; Linux,
Documentation/arch/x86/xstate.rst.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

# The beginning of these instruction sets' names in /proc/cpuinfo.
FAMILY = "amx_"

# What the account adds to the arithmetic of a layer that is summed in matrices.
IN_MATRICES = ", in matrices"

REGISTERS, ROWS, ROW_BYTES = 8, 16, 64
LANES = 16

# Instructions on vectors that there are ones on matrices for; dtype of the weights → that instruction.
_OF_VECTORS = ("vpdpbusd", "vdpbf16ps")
_INSTRUCTIONS = {"int8": "tdpbusd", "bfloat16": "tdpbf16ps"}

# The functions.
BEGIN, END, ZERO, MULTIPLY, STORE = "begin", "end", "zero", "multiply", "store"

# The assembly names the registers: LLVM's own functions for these instructions let it rename them, also to one whose
# rows were said to be others.
_TEXT = """
declare i64 @syscall(i64, ...)
@dlas_matrix_asked = linkonce_odr hidden global i8 0
@{begin}_sizes = linkonce_odr hidden constant [64 x i8] c"{sizes}"

define linkonce_odr hidden i32 @{begin}() alwaysinline {{
  %asked = load atomic i8, ptr @dlas_matrix_asked monotonic, align 1
  %done = icmp ne i8 %asked, 0
  br i1 %done, label %configure, label %ask
ask:
  %answer = call i64 (i64, ...) @syscall(i64 {arch_prctl}, i64 {request}, i64 {tiles})
  store atomic i8 1, ptr @dlas_matrix_asked monotonic, align 1
  br label %configure
configure:
  call void asm sideeffect "ldtilecfg ($0)", "r,~{{memory}}"(ptr @{begin}_sizes)
  ret i32 0
}}
"""
_ARCH_PRCTL, _ARCH_GET_XCOMP_SUPP, _ARCH_REQ_XCOMP_PERM, _XFEATURE_XTILEDATA = 158, 0x1021, 0x1023, 18


class Sizes(NamedTuple):
    """The matrices of a tile.

    Attributes
    ----------
    dtype : of the weights, int8 or bfloat16
    points, vectors : matrices of data, and of weights
    rows : of a matrix of data, at most 16: points
    groups : rows of a matrix of weights, at most 16: 4 bytes each of values that are added to one sum
    """

    dtype: str
    points: int
    vectors: int
    rows: int
    groups: int


def is_allowed() -> bool:
    """Tell whether Linux gives the registers to a process that asks for them: it may not, or hide them in a sandbox."""
    supported = ctypes.c_uint64()
    try:
        failed = ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ARCH_GET_XCOMP_SUPP, ctypes.byref(supported))
    except (AttributeError, OSError):  # no Linux
        return False
    return failed == 0 and bool(supported.value >> _XFEATURE_XTILEDATA & 1)


def fits(points: int, vectors: int) -> bool:
    """Tell whether the registers hold so many matrices of points, of weights, and of the sums of each with each."""
    return points * vectors + points + vectors <= REGISTERS


def is_known(instruction: str) -> bool:
    """Tell whether there is an instruction on matrices for what the `instruction` of a `Dot` computes of vectors."""
    return instruction in _OF_VECTORS


def function(step: str, sizes: Sizes) -> str:
    """Return the name of one of the functions that `definitions` has for `sizes`."""
    dtype, *numbers = sizes
    return f"dlas_matrix_{step}_{dtype}_{'x'.join(map(str, numbers))}"


def definitions(sizes: Sizes) -> str:
    """Return the functions for matrices of such sizes, in LLVM's language.

    `MULTIPLY` takes the data, the bytes from one row of it to the next and where each of its matrices begins, in bytes,
    and the same of the weights; `STORE` takes the sums likewise, matrix after matrix, first those of the same points.
    """
    sums = [f"%tmm{number}" for number in range(sizes.points * sizes.vectors)]
    data = [f"%tmm{len(sums) + number}" for number in range(sizes.points)]
    weights = [f"%tmm{len(sums) + sizes.points + number}" for number in range(sizes.vectors)]
    shapes = [(sizes.rows, ROW_BYTES)] * len(sums) + [(sizes.rows, 4 * sizes.groups)] * len(data)
    shapes += [(sizes.groups, ROW_BYTES)] * len(weights)
    begin = _TEXT.format(
        begin=function(BEGIN, sizes), sizes=_escaped(_configuration(shapes)), arch_prctl=_ARCH_PRCTL,
        request=_ARCH_REQ_XCOMP_PERM, tiles=_XFEATURE_XTILEDATA,
    )  # fmt: skip
    multiply = [f"tileloadd [d{number}+d], {register}" for number, register in enumerate(data)]
    for column, weight in enumerate(weights):
        multiply.append(f"tileloadd [w{column}+w], {weight}")
        for row, held in enumerate(data):
            multiply.append(f"{_INSTRUCTIONS[sizes.dtype]} {weight}, {held}, {sums[row * sizes.vectors + column]}")
    store = [f"tilestored {register}, [s{number}+s]" for number, register in enumerate(sums)]
    functions = (
        _function(function(ZERO, sizes), [f"tilezero {register}" for register in sums]),
        _function(function(MULTIPLY, sizes), multiply, {"d": sizes.points, "w": sizes.vectors}),
        _function(function(STORE, sizes), store, {"s": len(sums)}),
        _function(function(END, sizes), ["tilerelease"]),
    )
    return begin + "".join(functions)


def _function(name: str, steps: Sequence[str], tensors: dict[str, int] | None = None) -> str:
    """Return the function of these `steps` of assembly; "[a1+a]" is where matrix 1 of tensor a is, and its stride."""
    arguments, places, operands = [], [], []
    for tensor, count in (tensors or {}).items():
        arguments += [f"ptr %{tensor}", f"i64 %{tensor}_stride", *(f"i64 %{tensor}{n}" for n in range(count))]
        places += [f"  %{tensor}{n}_at = getelementptr i8, ptr %{tensor}, i64 %{tensor}{n}\n" for n in range(count)]
        operands += [(tensor, f"i64 %{tensor}_stride")]
        operands += [(f"{tensor}{n}", f"ptr %{tensor}{n}_at") for n in range(count)]
    text = "\\0A".join(steps)
    numbers = {key: number for number, (key, _) in enumerate(operands)}
    for (key, number), (other, stride) in product(numbers.items(), numbers.items()):
        text = text.replace(f"[{key}+{other}]", f"(${number},${stride})")
    constraints = ",".join(["r"] * len(operands) + ["~{memory}"])
    return (
        f"define linkonce_odr hidden i32 @{name}({', '.join(arguments)}) alwaysinline {{\n{''.join(places)}"
        f'  call void asm sideeffect "{text}", "{constraints}"({", ".join(value for _, value in operands)})\n'
        "  ret i32 0\n}\n"
    )


def _configuration(sizes: Sequence[tuple[int, int]]) -> bytes:
    """Return what ``ldtilecfg`` reads: of the registers' (rows, bytes of a row), palette 1."""
    widths = b"".join(width.to_bytes(2, "little") for _, width in sizes)
    return bytes([1]).ljust(16, b"\0") + widths.ljust(32, b"\0") + bytes(rows for rows, _ in sizes).ljust(16, b"\0")


def _escaped(content: bytes) -> str:
    return "".join(f"\\{byte:02X}" for byte in content)
