"""Configurations ↔ Optuna's parameters: one parameter for every axis that the choices above it leave open."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from explorer.core.configuration import Configuration
from explorer.core.errors import SpaceError
from explorer.space.axes import Axis, Choice, Range

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

    from explorer.space.rules.prefix_tree import Node

# Name → distribution and value.
Parameters = Mapping[str, tuple[BaseDistribution, Any]]


def suggest(axes: Mapping[str, Axis], tree: Node, trial: BaseTrial) -> Configuration:
    """Return a valid configuration, each choice on `axes` that the `tree` leaves open suggested by `trial`."""
    node = tree
    values: dict[str, Any] = {}
    for name, axis in axes.items():
        fixed = only_choice(node)
        if fixed:
            (values[name],) = fixed
            node = node.children[values[name]]
            continue
        value = _ask(trial, *parameter(axis, tuple(node.children)))
        choice = _choice(node, value)
        values[name] = value if isinstance(choice, Range) else choice
        node = node.children[choice]
    return Configuration.from_dict(values)


def distributions(axes: Mapping[str, Axis], tree: Node, configuration: Configuration) -> Parameters:
    """Return the distribution and value of every parameter under which `suggest` gives `configuration`.

    Raises
    ------
    SpaceError
        If the configuration is not in the `tree`.
    """
    node = tree
    parameters: dict[str, tuple[BaseDistribution, Any]] = {}
    for name, axis in axes.items():
        value = getattr(configuration, name)
        choice = value if value in node.children else next((c for c in node.children if _holds(c, value)), None)
        if choice not in node.children:
            raise SpaceError(f"the space has no configuration with {name} {value} and what is above it")
        if not only_choice(node):
            parameter_name, distribution = parameter(axis, tuple(node.children))
            parameters[parameter_name] = (distribution, value)
        node = node.children[choice]
    return parameters


def only_choice(node: Node) -> tuple[Choice, ...]:
    """Return the choice of a node that has one, or nothing: a continuous range is not one choice."""
    choices = tuple(node.children)
    return choices if len(choices) == 1 and not isinstance(choices[0], Range) else ()


def parameter(axis: Axis, options: tuple[Choice, ...]) -> tuple[str, BaseDistribution]:
    """Return the name and distribution of the parameter that picks among `options`.

    Optuna lets a parameter have one distribution in a study, so a part of an axis' choices is a parameter of its own.
    """
    if axis.range and options == axis.choices:
        return axis.name, _numbers(axis.range, integer=isinstance(options[0], int))
    name = axis.name if options == axis.choices else f"{axis.name}[{','.join(map(str, options))}]"
    return name, CategoricalDistribution([option for option in options if not isinstance(option, Range)])


def _numbers(numbers: Range, *, integer: bool) -> BaseDistribution:
    if integer:
        return IntDistribution(int(numbers.low), int(numbers.high), log=numbers.log, step=int(numbers.step or 1))
    return FloatDistribution(numbers.low, numbers.high, log=numbers.log, step=numbers.step)


def _ask(trial: BaseTrial, name: str, distribution: BaseDistribution) -> Any:
    match distribution:
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise TypeError(f"{type(distribution).__name__} is no distribution of a space")


def _choice(node: Node, value: Any) -> Choice:
    """Return the node's choice that stands for `value`."""
    # Workaround: Optuna 5.0: it computes a step as low + n * step in binary, where 0.6000000000000001 stands for 0.6;
    # tests/workarounds
    return min(node.children, key=lambda choice: _distance(choice, value))


def _distance(choice: Choice, value: Any) -> float:
    """Return 0 where `choice` stands for `value`, infinity where the two are words that differ."""
    if choice == value or _holds(choice, value):
        return 0
    return abs(choice - value) if isinstance(choice, int | float) and isinstance(value, int | float) else math.inf


def _holds(choice: Choice, value: Any) -> bool:
    return isinstance(choice, Range) and value in choice
