"""Relax module of framework operators → tensor programs of the chosen algorithm in blocked layouts, and an account."""

from __future__ import annotations

from dataclasses import replace

from dlas_ops._tvm import tvm
from dlas_ops._types import DataflowBlock, IRModule, Target, Var
from dlas_ops.kernels.registry import Choices
from dlas_ops.kernels.shared.activations import ACTIVATIONS
from dlas_ops.onnx.names import WeightNames
from dlas_ops.placement.context import Context
from dlas_ops.placement.operators import ELEMENTWISE, GENERAL, Operator, name_of
from dlas_ops.placement.rules import (
    attention,
    concatenations,
    constants,
    convolutions,
    dense,
    elementwise,
    lines_and_volumes,
    maps,
    norms,
    pooling,
    quantized,
    scales,
    transposed,
)
from dlas_ops.placement.rules.rule import Rule
from dlas_ops.placement.tables import tabulated
from dlas_ops.placement.value import Value, shape_of

relax = tvm.relax


def unchanged(context: Context, operator: Operator) -> Value:
    """Run any operator as it is, on plain tensors; the account has those with arithmetic of their own."""
    if operator.name in GENERAL:
        context.line_of[operator.call] = len(context.layers)
        data = context.value(operator.call.args[0]).shape
        context.account(operator.name.split(".")[-1], data, (), operator.shape, ran="general")
    return context.computed(context.rewritten(operator.call), operator.shape)


# In this order: the first rule that applies to an operator places it.
RULES: tuple[Rule, ...] = (
    # on 8-bit integers, between quantize and dequantize
    scales.quantize_linear,
    scales.dequantize_linear,
    quantized.conv,
    transposed.quantized,
    quantized.add,
    quantized.multiply,
    quantized.relu,
    quantized.clip_bound,
    quantized.matmul,
    quantized.max_pool2d,
    quantized.avg_pool2d,
    quantized.mean,
    quantized.concat,
    quantized.reshape,
    quantized.moved,
    quantized.part,
    # on constants, while compiling
    constants.folded,
    # on floats, in the layout that the convolutions want
    convolutions.conv,
    transposed.conv,
    attention.fused,
    dense.matmul,
    pooling.max_pool2d,
    pooling.avg_pool2d,
    pooling.mean,
    lines_and_volumes.max_pool,
    lines_and_volumes.avg_pool,
    lines_and_volumes.mean,
    concatenations.grown,
    maps.concat,
    concatenations.concat,
    norms.turned,
    norms.layer_norm,
    norms.group_norm,
    norms.variance,
    maps.resize,
    maps.strided_slice,
    maps.reduced,
    maps.shuffled,
    elementwise.batch_norm,
    elementwise.first_of_batch_norm,
    elementwise.clip_bound,
    elementwise.activation,
    elementwise.prelu,
    elementwise.broadcast,
    maps.program,
    # on plain tensors
    unchanged,
)


def place(
    module: IRModule, target: Target, choices: Choices, names: WeightNames, narrow: str = ""
) -> tuple[IRModule, Context]:
    """Return `module` with every operator of its function "main" placed, and the context that holds the account.

    Activations stay in the layout that the convolutions want. See `Context` for the parameters.
    """
    function, context = module["main"], Context(module, target, choices, names, narrow)
    builder, values = context.builder, context.values
    parameters = [relax.Var(str(var.name), var.ty) for var in function.params]
    kept = {var for block in function.body.blocks for var in _kept(block)}
    with builder.function("main", parameters):
        with builder.dataflow():
            for old, new in zip(function.params, parameters, strict=True):
                values[old] = replace(context.computed(new, shape_of(old)), wide=None)
            for block in function.body.blocks:
                for binding in block.bindings:
                    var, call = binding.var, binding.value
                    value = placed(context, Operator(name_of(call), call, shape_of(var)))
                    values[var] = replace(value, wide=None) if var in kept else value
            result = builder.emit_output(context.rewritten(function.body.body))
        builder.emit_func_output(result)
    return builder.get(), context


def placed(context: Context, operator: Operator) -> Value:
    """Return the value that takes the place of the result of `operator`."""
    value = next(value for rule in RULES if (value := rule(context, operator)))
    if value.quantization is None and (table := tabulated(context, operator)):
        return replace(value, table=table)
    return value


def _kept(block: DataflowBlock) -> list[Var]:
    """Return the variables that several operators of `block` read, not all of them element by element."""
    operators = {binding.var: name_of(binding.value) for binding in block.bindings}
    readers = {var: [operators[user] for user in users] for var, users in relax.analysis.udchain(block).items()}
    at_once = {*ELEMENTWISE, *ACTIVATIONS}
    return [var for var, names in readers.items() if len(names) > 1 and not at_once.issuperset(names)]
