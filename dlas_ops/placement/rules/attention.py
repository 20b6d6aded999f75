"""Product, softmax and product of activations → one program, which writes no scores to memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod

from dlas_ops._tvm import tvm
from dlas_ops._types import Call, Expr, Shape, Tensor
from dlas_ops.kernels.operators import attention, quantize
from dlas_ops.placement.context import Context
from dlas_ops.placement.integers import LIMITS, eight_bits, known
from dlas_ops.placement.operators import name_of
from dlas_ops.placement.rules.dense import Operand, operand_of
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value, shape_of
from dlas_ops.processor.cpus import Cpu

relax = tvm.relax

SOFTMAX, PRODUCT = "relax.nn.softmax", "relax.matmul"
# Operators on scores, of the one tensor and of a number or another tensor.
ON_SCORES: dict[str, Callable[[Expr, Expr], Expr]] = {
    "relax.add": lambda one, other: one + other,
    "relax.subtract": lambda one, other: one - other,
    "relax.multiply": lambda one, other: one * other,
    "relax.divide": lambda one, other: one / other,
}


@dataclass(frozen=True)
class Step:
    """An `operation` on a score and an element, which broadcasts, of each of the `arguments`."""

    operation: Callable[..., Expr]
    arguments: tuple[Expr, ...]


@places(PRODUCT)
def fused(context: Context, call: Call, shape: Shape) -> Value | None:
    """Run attention, at its product with the values, as one program, if that is faster; see `pays`."""
    found = _scores_of(context, call.args[0])
    if found is None or not isinstance(context.cpu, Cpu):
        return None
    softmax, scores, between, after = found
    operands = [operand_of(context, argument) for argument in (*scores.args, call.args[1])]
    if min(len(operand.shape) for operand in operands) < 2 or not pays(shape[-2], context.cpu):
        return None
    parts: list[Operand | Step] = [*operands, *between, *after]
    arguments = list(dict.fromkeys(argument for part in parts for argument in part.arguments))
    result = context.emit(_program(context.cpu, operands, between, after, arguments), *arguments, name="attention")
    context.taken_in |= {context.line_of[each] for each in (softmax, scores)}
    macs = prod(shape_of(softmax)) * (operands[0].shape[-1] + shape[-1])
    context.account("attention", operands[0].shape, (), shape, ran="attention", macs=macs)
    return context.computed(result, shape)


def pays(queries: int, cpu: Cpu) -> bool:
    """Tell whether one program is faster than three: where queries fill half a vector, so that few lanes are idle."""
    return 2 * queries >= cpu.lanes()


def _program(
    cpu: Cpu, operands: Sequence[Operand], between: Sequence[Step], after: Sequence[Step], arguments: Sequence[Expr]
) -> Callable[..., Tensor]:
    """Return what computes attention of tensors for `arguments`."""

    def compute(*tensors: Tensor) -> Tensor:
        def of(part: Operand | Step) -> list[Tensor]:
            return [tensors[arguments.index(each)] for each in part.arguments]

        def on_score(score: Expr, index: Sequence[Expr]) -> Expr:
            for step in between:
                score = step.operation(score, *(_element(tensor, index) for tensor in of(step)))
            return score

        def on_share(share: Expr) -> Expr:
            for step in after:
                share = step.operation(share, *(_element(tensor, ()) for tensor in of(step)))
            return share

        query, key, value = (operand(of(operand)) for operand in operands)
        return attention.compute(query, key, value, cpu, on_score, on_share if after else None)

    return compute


def _element(tensor: Tensor, index: Sequence[Expr]) -> Expr:
    """Return the element of `tensor`, which broadcasts, at `index`."""
    shape = [int(size) for size in tensor.shape]
    own = index[len(index) - len(shape) :] if shape else ()
    return tensor(*(0 if size == 1 else at for size, at in zip(shape, own or [0] * len(shape), strict=True)))


def _scores_of(context: Context, shares: Expr) -> tuple[Call, Call, list[Step], list[Step]] | None:
    """Return the softmax that `shares` are, the product that it reads, and what is done before and after it."""
    softmax, after = _chain(context, shares, SOFTMAX)
    if softmax is None or any(step.operation is not _restated for step in after):
        return None
    rank = len(context.held(shares).shape)
    if int(softmax.attrs.axis) % rank != rank - 1:
        return None
    scores, between = _chain(context, softmax.args[0], PRODUCT)
    if scores is None or scores not in context.line_of or softmax not in context.line_of:
        return None
    return softmax, scores, between, after


def _chain(context: Context, variable: Expr, wanted: str) -> tuple[Call | None, list[Step]]:
    """Return the operator `wanted` that `variable` comes from, and the steps from its result to `variable`."""
    steps: list[Step] = []
    while context.readers(variable) == 1:
        call: Call = context.made(variable)
        name = name_of(call)
        if name == wanted:
            return call, steps[::-1]
        if name == "relax.quantize" and eight_bits(context.held(variable)):
            variable = call.args[0]
        elif name == "relax.dequantize" and eight_bits(context.held(variable)):
            steps.append(_restating(context.held(variable)))
            variable = call.args[0]
        elif name in ON_SCORES and (step := _operation(context, call, ON_SCORES[name])):
            found, variable = step
            steps.append(found)
        else:
            break
    return None, []


def _operation(context: Context, call: Call, operation: Callable[[Expr, Expr], Expr]) -> tuple[Step, Expr] | None:
    """Return what `call` does to the scores, its first argument, and these; None if it does something else."""
    scores, other = call.args
    if not isinstance(scores, relax.Var) or shape_of(call) != context.held(scores).shape:
        return None
    return Step(operation, (context.plain(context.value(other)),)), scores


def _restating(value: Value) -> Step:
    """Return the step that rounds reals to those that 8-bit integers as in `value` stand for."""
    stated = known(value)
    least, most = (float(limit - stated.zero.item()) for limit in LIMITS[value.dtype])
    numbers = (1 / stated.scale.item(), stated.scale.item(), least, most)
    return Step(_restated, tuple(relax.const(number, "float32") for number in numbers))


def _restated(real: Expr, inverse: Expr, scale: Expr, least: Expr, most: Expr) -> Expr:
    return quantize.rounded(real * inverse, least, most).astype("float32") * scale
