"""Lowered network → its distinct tensor programs to tune; decisions on one of them → a library of candidates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tvm_ffi
from numpy.typing import NDArray

from dlas_ops._tvm import tvm
from dlas_ops._types import Expr, Library, PrimFunc, Target
from dlas_ops.kernels.scheduling import asked_schedule, schedule_function
from dlas_ops.lowering import Lowered, calls
from dlas_ops.passes.eviction import to_time
from dlas_ops.passes.pipeline import PIPELINE
from dlas_ops.passes.vector_math import marked
from dlas_ops.processor.targets import describe
from dlas_ops.tuning import tuners
from dlas_ops.tuning.tuners import Decision

# Deviation that the rounding of stored results allows, relative to the largest; of float32 it is 1e-4.
NARROW_TOLERANCE = {"float16": 1e-2, "bfloat16": 4e-2}

# Attributes that say what a program is called and fused by, not what it computes.
NAMES = ("global_symbol", "op_pattern")


@dataclass(frozen=True)
class Task:
    """A tensor program to tune, which a network may call under several names.

    Attributes
    ----------
    key : hexadecimal structural hash: equal for programs that differ in names only
    function : the program, unscheduled
    names : what the network calls it
    calls : how often one run of the network calls it
    inputs : how many of the arguments are read; the others are results
    constants : argument → its values where they are the network's own, of the first call
    """

    key: str
    function: PrimFunc
    names: tuple[str, ...]
    calls: int
    inputs: int
    constants: Mapping[int, NDArray[Any]]

    @property
    def arguments(self) -> list[tuple[tuple[int, ...], str]]:
        """Shape and dtype of every argument, results last."""
        types = [parameter.ty for parameter in self.function.params]
        return [(tuple(int(size) for size in kind.shape), str(kind.dtype)) for kind in types]

    @property
    def description(self) -> dict[str, Any]:
        """The properties that similar programs share, as plain JSON values: schedule asked for and arguments."""
        arguments = [[list(shape), dtype] for shape, dtype in self.arguments]
        return {"schedule": asked_schedule(self.function), "arguments": arguments}


def tasks(lowered: Lowered, tuner: str, target: Target) -> list[Task]:
    """Return the programs of a network that `tuner` has something to try for, those called first in front.

    Raises
    ------
    ValueError
        If `tuner` tunes nothing for `target`.
    """
    if reason := tuners.load(tuner).refuses(target):
        raise ValueError(reason)
    supports = tuners.load(tuner).supports
    found: dict[str, Task] = {}
    supported: dict[str, bool] = {}
    for name, arguments in calls(lowered.module):
        function = lowered.module[name]
        for attribute in NAMES:
            function = function.without_attr(attribute)
        key = f"{tvm_ffi.structural_hash(function) % 2**64:016x}"
        if key not in supported:
            supported[key] = supports(function, target) is None
        if not supported[key]:
            continue
        known = found.get(key) or Task(key, function, (), 0, len(arguments), _constants(arguments))
        names = known.names if name in known.names else (*known.names, name)
        found[key] = replace(known, names=names, calls=known.calls + 1)
    return list(found.values())


def constant_bytes(lowered: Lowered) -> int:
    """Return the size of all constants that the programs of a network read."""
    return sum(values.nbytes for _, arguments in calls(lowered.module) for values in _constants(arguments).values())


def _constants(arguments: Sequence[Expr]) -> dict[int, NDArray[Any]]:
    values: dict[int, Any] = {index: getattr(argument, "value", None) for index, argument in enumerate(arguments)}
    return {index: value.numpy() for index, value in values.items() if hasattr(value, "numpy")}


@dataclass(frozen=True)
class Built:
    """Candidates of one program, compiled.

    Attributes
    ----------
    library : exports itself with ``export_library("candidates.tar")``; None if none could be built
    symbols : for each decision its function in the library, None if it could not be built
    errors : for each decision (kind, message) of why not, None if it was; kinds are ``schedule`` and ``compile``
    """

    library: Library | None
    symbols: list[str | None]
    errors: list[tuple[str, str] | None]


def build(function: PrimFunc, target: Target, tuner: str, decisions: Sequence[Decision | None]) -> Built:
    """Schedule and compile a program as each of `decisions` says, None being the rule-based schedule.

    The functions are for `eviction.Eviction` to call.
    """
    scheduled: dict[str, PrimFunc] = {}
    symbols: list[str | None] = []
    errors: list[tuple[str, str] | None] = []
    for number, decision in enumerate(decisions):
        symbol = f"candidate_{number}"
        error = None
        try:
            program = to_time(scheduled_by(function, target, tuner, decision), describe(target))
            scheduled[symbol] = program.with_attr("global_symbol", symbol)
        except Exception as raised:  # whatever TVM's schedule primitives raise at a decision that does not fit
            error = ("schedule", _sentence(raised))
        symbols.append(None if error else symbol)
        errors.append(error)
    try:
        return Built(_compiled(scheduled, target), symbols, errors)
    except Exception:
        if len(scheduled) > 1:
            return _one_by_one(scheduled, symbols, errors, lambda program: _compiled(program, target))
        raise


def scheduled_by(function: PrimFunc, target: Target, tuner: str, decision: Decision | None) -> PrimFunc:
    """Return the program, scheduled as `decision` of `tuner` says or, if that is None, by the rules."""
    if decision is None:
        return schedule_function(function, describe(target))
    return marked(tuners.load(tuner).schedule(function, target, decision))


def _compiled(programs: Mapping[str, PrimFunc], target: Target) -> Library | None:
    if not programs:
        return None
    with tvm.transform.PassContext(opt_level=3, config={"tirx.disable_assert": True}):
        return tvm.compile(tvm.IRModule(dict(programs)), target, tir_pipeline=PIPELINE)


def _one_by_one(
    programs: Mapping[str, PrimFunc],
    symbols: Sequence[str | None],
    errors: Sequence[tuple[str, str] | None],
    compiled: Callable[[Mapping[str, PrimFunc]], Library | None],
) -> Built:
    """Find out which programs cannot be compiled, and compile the others."""
    failed = {}
    for symbol, program in programs.items():
        try:
            compiled({symbol: program})
        except Exception as raised:
            failed[symbol] = ("compile", _sentence(raised))
    library = compiled({symbol: program for symbol, program in programs.items() if symbol not in failed})
    left = [None if symbol in failed else symbol for symbol in symbols]
    return Built(library, left, [failed.get(str(symbol), error) for symbol, error in zip(symbols, errors, strict=True)])


def _sentence(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no message'}"[:300]


def close(results: Sequence[NDArray[Any]], reference: Sequence[NDArray[Any]]) -> bool:
    """Tell whether what a candidate computed is what the rule-based schedule computes, sums in another order aside.

    Integers may differ by 1: rounding a sum of another order may fall to the other side.
    """
    return all(_close(result, expected) for result, expected in zip(results, reference, strict=True))


def _close(result: NDArray[Any], expected: NDArray[Any]) -> bool:
    if "float" not in str(expected.dtype):
        return bool(np.abs(result.astype(np.int64) - expected.astype(np.int64)).max(initial=0) <= 1)
    wide, own = expected.astype(np.float64), result.astype(np.float64)
    if not np.isfinite(own).all():
        return bool(np.array_equal(own, wide, equal_nan=True))
    tolerance = NARROW_TOLERANCE.get(str(expected.dtype), 1e-4)
    return bool(np.abs(own - wide).max(initial=0) <= tolerance * max(np.abs(wide).max(initial=0), 1e-30))
