"""Tensor program and decisions → one library: the code of a builder, which all builders share once imported."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops.tuning import task_extraction, tuners

for name in tuners.implemented():
    tuners.load(name)


def serve(pipe: Connection) -> None:
    """Answer requests until the other end closes."""
    os.dup2(2, 1)  # what a library prints is not for standard output, where a worker's replies go
    while True:
        try:
            request = json.loads(pipe.recv_bytes())  # and never `recv`, which would unpickle it
        except (EOFError, OSError):
            return
        pipe.send_bytes(json.dumps(build(*request)).encode())


def build(
    program: str, target: dict[str, Any], tuner: str, decisions: list[Any], out: str
) -> tuple[list[str | None], list[tuple[str, str] | None]]:
    """Build `decisions` on the program in a file; return for each its function, or kind and message of why not."""
    built = task_extraction.build(_program(program), tvm.target.Target(target), tuner, decisions)
    if built.library is not None:
        built.library.export_library(out)
    return built.symbols, built.errors


@lru_cache(maxsize=64)
def _program(path: str) -> Any:
    return tvm.ir.load_json(Path(path).read_text(encoding="utf-8"))
