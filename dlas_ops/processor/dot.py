"""Processor and dtype → how products are summed: values per lane, operand dtypes and the instruction, if any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

from dlas_ops._types import Buffer, PrimFunc, ScriptBuilder
from dlas_ops.processor import bfloat, matrix
from dlas_ops.processor.cpus import Cpu
from dlas_ops.processor.half import PAIR
from dlas_ops.processor.targets import Processor


@dataclass(frozen=True)
class Dot:
    """Multiplication of a broadcast group of input values by weights, summed in the lanes of a vector.

    Attributes
    ----------
    values : neighbouring products that are added into one lane, 1 for an ordinary multiply-add
    data, weight : dtypes of the operands; activations are kept in `data` or, where that is wider, widened for the
        instruction when they are copied
    sums : dtype of the sums
    instruction : name of the instruction, "" for an ordinary multiply-add
    """

    values: int = 1
    data: str = "float32"
    weight: str = "float32"
    sums: str = "float32"
    instruction: str = ""


_INT8 = {
    "vpdpbusd": Dot(4, "uint8", "int8", "int32", "vpdpbusd"),
    # Exact, unlike vpmaddubsw, whose sums of two products saturate at 16 bits.
    "vpmaddwd": Dot(2, "int16", "int16", "int32", "vpmaddwd"),
    "sdot": Dot(4, "int8", "int8", "int32", "sdot"),
    "dp4a": Dot(4, "int8", "int8", "int32", "dp4a"),
    "arm_dot": Dot(4, "int8", "int8", "int32", "arm_dot"),
    "": Dot(1, "uint8", "int8", "int32"),
}


# Two sums in each lane; `half` adds them to one.
_HALF = Dot(PAIR, "float16", "float16", "float16")


def dot_of(dtype: str, processor: Processor, half: bool = False, matrices: bool = True) -> Dot:
    """Return how `processor` multiplies activations stored in `dtype`.

    Parameters
    ----------
    half : whether float16 is multiplied and added in float16, where the processor can
    matrices : whether a layer of these products can be computed in matrices, where the processor can
    """
    if dtype == "bfloat16" and isinstance(processor, Cpu):
        instruction = processor.bfloat if matrices else processor.bfloat_in_vectors
        return Dot(bfloat.PAIR, "bfloat16", "bfloat16", "float32", instruction) if instruction else Dot()
    if dtype == "float16" and half and processor.half:
        return _HALF
    return Dot() if "float" in dtype else _INT8[processor.dot]


def multiplies_matrices(dot: Dot, processor: Processor) -> bool:
    """Tell whether `processor` has an instruction that multiplies matrices as `dot` does vectors."""
    if not isinstance(processor, Cpu) or processor.lanes() != matrix.LANES:
        return False
    return processor.matrix and matrix.is_known(dot.instruction)


def of_products(dot: Dot, cpu: Cpu) -> Cpu:
    """Return `cpu` as one that multiplies and adds as many vectors per cycle as it does of `dot`."""
    return replace(cpu, multiply_adds=cpu.bfloat_multiply_adds) if dot.weight == "bfloat16" else cpu


def products_per_float(dtype: str, processor: Processor) -> float:
    """Return how many products of `dtype` a processor's vectors compute at best in the time of one of float32."""
    dot = dot_of(dtype, processor)
    if not isinstance(processor, Cpu):
        return dot.values
    return dot.values * of_products(dot, processor).multiply_adds / processor.multiply_adds


def matrix_products_per_float(processor: Processor) -> dict[str, float]:
    """Return the same of matrices: dtype → products, of those that an instruction multiplies matrices of."""
    dots = {dtype: dot_of(dtype, processor) for dtype in ("int8", "bfloat16")}
    return {
        # An instruction takes as many cycles as it adds groups to each sum.
        dtype: matrix.ROWS * matrix.LANES * dot.values / (processor.multiply_adds * processor.lanes())
        for dtype, dot in dots.items()
        if isinstance(processor, Cpu) and multiplies_matrices(dot, processor)
    }


def stored(processor: Processor) -> str:
    """Return the 8-bit dtype that `processor` keeps activations in: what its instruction reads."""
    return "int8" if _INT8[processor.dot].data == "int8" else "uint8"


def as_kept(dtype: str) -> str:
    """Return the dtype of a copy of activations in `dtype` that a program makes for itself.

    Inside a program TVM 0.27 makes float32 of every tensor of bfloat16, so there its bits are kept as integers.
    """
    return "uint16" if dtype == "bfloat16" else dtype


def dot_over(data: str, processor: Processor) -> Dot:
    """Return how `processor` adds groups of values that lie in memory as `data`: activations, or a copy of them."""
    if data in ("bfloat16", as_kept("bfloat16")):
        return replace(dot_of("bfloat16", processor), data=data)
    return dot_of("int8", processor)


@cache
def tensorized(dot: Dot, lanes: int, broadcast: bool = True, scope: str = "local") -> str:
    """Return the name of the tensor intrinsic that adds `lanes` groups of `dot.values` products to `lanes` sums.

    Parameters
    ----------
    broadcast : whether one group of data serves all lanes, as in a convolution, or each lane has its own, as in a
        depthwise one
    scope : of the buffer of sums
    """
    from dlas_ops._tvm import tvm

    kept = "kept." if (dot.weight, dot.data) == ("bfloat16", as_kept("bfloat16")) else ""
    name = f"dlas.{dot.instruction}.{kept}{lanes}.{'broadcast' if broadcast else 'lanes'}.{scope}"
    functions = (_function(dot, lanes, broadcast, body, scope) for body in (_by_element, _by_instruction))
    tvm.s_tir.TensorIntrin.register(name, *functions, override=True)
    return name


def _function(dot: Dot, lanes: int, broadcast: bool, body: Callable[..., None], scope: str) -> PrimFunc:
    """Return a function of data, weights and sums whose block does `body`."""
    from tvm.script.ir_builder import IRBuilder
    from tvm.tirx.script import builder as T

    values = dot.values
    with IRBuilder() as script, T.prim_func(s_tir=True):
        data_shape = (values,) if broadcast else (lanes, values)
        arguments = [T.arg(name, T.handle()) for name in ("a", "b", "c")]
        data = T.match_buffer(arguments[0], data_shape, dot.data, offset_factor=1)
        weight = T.match_buffer(arguments[1], (lanes, values), dot.weight, offset_factor=1)
        sums = T.match_buffer(arguments[2], (lanes,), dot.sums, scope=scope, offset_factor=1)
        with T.sblock("root"):
            T.reads([sums[0:lanes], data[tuple(slice(0, size) for size in data_shape)], weight[0:lanes, 0:values]])
            T.writes([sums[0:lanes]])
            body(T, dot, lanes, broadcast, data, weight, sums)
    return script.get()


def _by_element(
    T: ScriptBuilder, dot: Dot, lanes: int, broadcast: bool, data: Buffer, weight: Buffer, sums: Buffer
) -> None:
    """Say what the instruction computes, for the scheduler to compare with the loops that it replaces."""
    with T.grid(lanes, dot.values) as (lane, value), T.sblock("update"):
        i, q = T.axis.spatial(lanes, lane), T.axis.reduce(dot.values, value)
        held = data[q] if broadcast else data[i, q]
        if dot.data == as_kept("bfloat16"):
            held = T.reinterpret(held, dtype="bfloat16")
        T.buffer_store(sums, sums[i] + T.cast(held, dot.sums) * T.cast(weight[i, q], dot.sums), [i])


def _by_instruction(
    T: ScriptBuilder, dot: Dot, lanes: int, broadcast: bool, data: Buffer, weight: Buffer, sums: Buffer
) -> None:
    width, before = lanes * dot.values, sums.vload([0], f"{dot.sums}x{lanes}")
    if dot.weight == "bfloat16":
        group = data.vload([0], f"{dot.data}x{dot.values}")  # TVM leaves no vector of that type but integers
        held = T.broadcast(T.reinterpret(group, dtype="int32"), lanes)
        weights = T.reinterpret(weight.vload([0, 0], f"{dot.weight}x{width}"), dtype=f"int32x{lanes}")
        added = T.call_pure_extern(
            f"{dot.sums}x{lanes}", bfloat.function(dot.instruction, lanes), before, held, weights
        )
        T.buffer_store(sums, added, [T.ramp(0, 1, lanes)])
        return
    if broadcast:
        group = T.reinterpret(data.vload([0], f"{dot.data}x{dot.values}"), dtype="int32")
        held = T.reinterpret(T.broadcast(group, lanes), dtype=f"{dot.data}x{width}")
    else:
        held = data.vload([0, 0], f"{dot.data}x{width}")
    weights = weight.vload([0, 0], f"{dot.weight}x{width}")
    name, adds = _intrinsic(dot, lanes)
    operands = (before, held, weights) if adds else (held, weights)
    result = T.call_llvm_pure_intrin(f"{dot.sums}x{lanes}", name, *operands)
    T.buffer_store(sums, result if adds else before + result, [T.ramp(0, 1, lanes)])


def _intrinsic(dot: Dot, lanes: int) -> tuple[str, bool]:
    """Return LLVM's name of the instruction for `lanes` sums, and whether its first operand is sums to add to."""
    match dot.instruction:
        case "vpdpbusd":
            return f"llvm.x86.avx512.vpdpbusd.{32 * lanes}", True
        case "vpmaddwd":
            names = {16: "llvm.x86.avx512.pmaddw.d.512", 8: "llvm.x86.avx2.pmadd.wd", 4: "llvm.x86.sse2.pmadd.wd"}
            return names[lanes], False
        case _:
            return "llvm.aarch64.neon.sdot", True
