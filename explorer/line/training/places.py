"""Error of torch, or what an exporter says of an operator → the place in the user's network that it comes from."""

from __future__ import annotations

import ast
import linecache
import re
import sysconfig
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

from torch import fx, nn

# Files that are no user's: Python's, those that pip installs, the explorer's.
EXPLORER = str(Path(__file__).parents[2])
NOT_OWN = (*{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")}, EXPLORER, "<")
FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in')
SCOPES, STACK = "pkg.torch.onnx.name_scopes", "pkg.torch.onnx.stack_trace"


def of_error(error: BaseException, model: nn.Module) -> str:
    """Return where in `model` an error comes from, such as `` in module 'head' (Linear), nets.py, line 7``, or ""."""
    names = {id(module): name for name, module in model.named_modules()}
    module, where = "", ""
    for frame, line in _frames(error):
        node = frame.f_locals.get("node")
        if isinstance(node, fx.Node) and node.op == "call_function":
            return of_node(node, model)
        own = frame.f_locals.get("self")
        if isinstance(own, nn.Module) and id(own) in names:
            module = _named(names[id(own)], own)
        if _is_own(frame.f_code.co_filename):
            where = _line(frame.f_code.co_filename, line)
    return _joined(module, where)


def of_node(node: fx.Node, model: nn.Module) -> str:
    """Return where in `model` an operator of its exported program comes from."""
    stack = node.meta.get("nn_module_stack") or {}
    path = [str(name) for name, _ in stack.values()][-1:]
    return _place("".join(path), str(node.meta.get("stack_trace") or ""), model)


def of_operator(properties: Mapping[str, str], model: nn.Module) -> str:
    """Return where in `model` an operator of its ONNX network comes from, of what the exporter noted of it."""
    return _place(scope(properties), properties.get(STACK, ""), model)


def scope(properties: Mapping[str, str]) -> str:
    """Return the name of the module that an operator of an ONNX network comes from, of what the exporter noted."""
    scopes = ast.literal_eval(properties.get(SCOPES, "[]"))  # of all modules around it, and its own
    return str(scopes[-2]) if len(scopes) > 1 else ""


def reason(error: BaseException) -> str:
    """Return why torch or its exporter failed, in a few words, from the first cause."""
    causes = [*_causes(error)]
    for cause in causes:
        if "DataDependent" in type(cause).__name__:
            return "it depends on the values in a tensor"
        if type(cause).__name__ == "DispatchError" and (found := re.search(r"aten\.\w+", str(cause))):
            return f"ONNX has no operator for {found.group()}"
    return first_sentence(causes[-1])


def first_sentence(error: BaseException) -> str:
    """Return the first sentence of what an error says, of its type if it says nothing."""
    said = str(error).strip().splitlines() or [type(error).__name__]
    return re.split(r"(?<=[a-z)'\]])\. ", said[0])[0].rstrip(".")


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    for cause in _causes(error):
        yield from traceback.walk_tb(cause.__traceback__)


def _place(name: str, stack: str, model: nn.Module) -> str:
    named = dict(model.named_modules())
    module = _named(name, named[name]) if name in named else ""
    own = [found for found in FRAME.finditer(stack) if _is_own(found["file"])]
    return _joined(module, _line(own[-1]["file"], int(own[-1]["line"])) if own else "")


def _named(name: str, module: nn.Module) -> str:
    return f"module '{name}' ({type(module).__name__})" if name else type(module).__name__


def _is_own(file: str) -> bool:
    return not file.startswith(NOT_OWN)


def _line(file: str, line: int) -> str:
    return f"{Path(file).name}, line {line}: {linecache.getline(file, line).strip()}".rstrip(": ")


def _joined(module: str, where: str) -> str:
    found = ", ".join(filter(None, (module, where)))
    return f" in {found}" if found else ""
