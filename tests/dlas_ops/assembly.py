"""Compiled network or program → its assembly, as LLVM gives it, and the innermost loops in that."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from dlas_ops._tvm import tvm
from dlas_ops._types import Library, PrimFunc
from dlas_ops.passes.pipeline import PIPELINE
from tests.dlas_ops.named_targets import named

_MULTIPLY_ADD = re.compile(r"(vfn?m(add|sub)|fml[as]|mulp|vmulp|vdpbf16ps|bfdot)")
_VECTOR_STORE = re.compile(r"v?mov\w+\s+%[xyz]mm\d+,.*\(|st(r|p|ur)\s+q|st1\b")
_BRANCH = re.compile(r"(?:j\w+|b(?:\.\w+)?|cbn?z|tbn?z)\s.*?(\.?L\w+)$")
_LABEL = re.compile(r"(\.?L?\w+):")


class Loop(NamedTuple):
    """The instructions of a loop, as text."""

    instructions: list[str]

    @property
    def multiply_adds(self) -> list[str]:
        """Vector multiply-adds or, where they are two instructions, the multiplications."""
        return [text for text in self.instructions if _MULTIPLY_ADD.match(text)]

    @property
    def vector_stores(self) -> list[str]:
        """Stores of whole vectors: sums that left their registers."""
        return [text for text in self.instructions if _VECTOR_STORE.match(text)]


def text_of(library: Library) -> str:
    """Return the assembly of all programs of a built network."""
    return "".join(module.inspect_source("asm") for module in library.mod.imports if module.kind == "llvm")


def program_text(function: PrimFunc, mcpu: str, pipeline: str = PIPELINE, form: str = "asm") -> str:
    """Return a scheduled program in assembly for a named processor, or as "ll", in what LLVM makes it of."""
    library = tvm.compile(tvm.IRModule({"main": function}), named(mcpu), tir_pipeline=pipeline)
    return str(library.mod.inspect_source(form))


def innermost_loops(assembly: str) -> list[Loop]:
    """Return every loop that has no other inside, by its jump backwards."""
    instructions: list[str] = []
    labels: dict[str, int] = {}
    spans: list[tuple[int, int]] = []
    for line in _meaningful(assembly):
        if label := _LABEL.fullmatch(line):
            labels[label[1]] = len(instructions)
            continue
        instructions.append(line)
        branch = _BRANCH.match(line)
        if branch and branch[1] in labels:
            spans.append((labels[branch[1]], len(instructions)))
    inner = [a for a in spans if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in spans)]
    return [Loop(instructions[begin:end]) for begin, end in inner]


def hottest(library: Library) -> Loop:
    """Return the innermost loop with the most multiply-adds."""
    return max(innermost_loops(text_of(library)), key=lambda loop: len(loop.multiply_adds))


def _meaningful(assembly: str) -> Iterator[str]:
    for line in assembly.splitlines():
        text = re.split(r"\s#\s|//", line)[0].strip()
        if text and (text.endswith(":") or not text.startswith(".")):
            yield " ".join(text.split())
