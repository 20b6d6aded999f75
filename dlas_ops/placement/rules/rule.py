"""The context and one operator → the value that stands for its result, or None if the rule does not apply."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeAlias

from dlas_ops._types import Call, Shape
from dlas_ops.placement.context import Context
from dlas_ops.placement.operators import Operator
from dlas_ops.placement.value import Value

Rule: TypeAlias = Callable[[Context, Operator], Value | None]


def places(*names: str) -> Callable[[Callable[[Context, Call, Shape], Value | None]], Rule]:
    """Return a decorator: function of the context, a call and its result's shape → rule for operators of `names`."""

    def rule_of(function: Callable[[Context, Call, Shape], Value | None]) -> Rule:
        @wraps(function)
        def rule(context: Context, operator: Operator) -> Value | None:
            return function(context, operator.call, operator.shape) if operator.name in names else None

        return rule

    return rule_of
