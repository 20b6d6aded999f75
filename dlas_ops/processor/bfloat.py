"""Instruction for products of bfloat16 → the function in LLVM's language that tensor programs call in its place.

TVM 0.27 has no such type once a program is lowered: it keeps bfloat16 as 16 bits, and computes with it in float32. So a
program hands its vectors over as integers of 32 bits, a pair in each, to a function that LLVM reads beside it and
compiles into its place.
"""

from __future__ import annotations

PAIR = 2

# The words of the account.
ARITHMETIC = "bfloat16 (sums in float32)"

# Name of the instruction → what LLVM calls it for so many sums.
_INTRINSICS = {
    "vdpbf16ps": {lanes: f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}" for lanes in (4, 8, 16)},
    "bfdot": {4: "llvm.aarch64.neon.bfdot.v4f32.v8bf16"},
}

_FUNCTION = """
declare <{n} x float> @{intrinsic}(<{n} x float>, <{w} x bfloat>, <{w} x bfloat>)
define linkonce_odr hidden <{n} x float> @{name}(<{n} x float> %sums, <{n} x i32> %data, <{n} x i32> %weights)
  alwaysinline {{
  %x = bitcast <{n} x i32> %data to <{w} x bfloat>
  %y = bitcast <{n} x i32> %weights to <{w} x bfloat>
  %added = call <{n} x float> @{intrinsic}(<{n} x float> %sums, <{w} x bfloat> %x, <{w} x bfloat> %y)
  ret <{n} x float> %added
}}
"""


def function(instruction: str, lanes: int) -> str:
    """Return the name of the function that adds the products of `lanes` pairs to as many float32 sums."""
    return f"dlas_{instruction}_{lanes}"


def definitions(instruction: str) -> str:
    """Return the functions of `instruction`, for every number of sums that it has, in LLVM's language."""
    return "".join(
        _FUNCTION.format(n=lanes, w=PAIR * lanes, intrinsic=intrinsic, name=function(instruction, lanes))
        for lanes, intrinsic in _INTRINSICS[instruction].items()
    )
