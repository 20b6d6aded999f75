"""A function of a call → a rule for the operators that it names."""

from __future__ import annotations

from dlas_ops._tvm import tvm
from dlas_ops._types import Call, Shape
from dlas_ops.placement.context import Context
from dlas_ops.placement.operators import Operator
from dlas_ops.placement.rules.rule import places
from dlas_ops.placement.value import Value
from tests.dlas_ops.placement.before_after import Case, tensor

relax = tvm.relax


@places("relax.exp", "relax.log")
def rule(context: Context, call: Call, shape: Shape) -> Value | None:
    """Return the argument."""
    return Value(call.args[0], shape)


def test_a_rule_is_asked_only_about_the_operators_that_it_names() -> None:
    context, x = Case().context, tensor((2, 3))
    for name, call in (("relax.exp", relax.op.exp(x)), ("relax.log", relax.op.log(x))):
        value = rule(context, Operator(name, call, (2, 3)))
        assert value is not None
        assert value.expression.same_as(x)
        assert value.shape == (2, 3)
    assert rule(context, Operator("relax.sqrt", relax.op.sqrt(x), (2, 3))) is None


def test_a_rule_keeps_the_name_and_the_description_of_its_function() -> None:
    assert (rule.__name__, rule.__doc__) == ("rule", "Return the argument.")
