"""Requests on standard input → stage executions → replies on standard output: the process that loads torch or TVM.

``python -m explorer.processes.worker torch`` reads one JSON object a line and answers each with one. It ends, even in
the middle of a stage, as soon as its standard input closes: so it ends when the explorer is killed.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Mapping
from dataclasses import asdict
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import IO, Any, cast

from explorer.core import own_modules, plugins, surroundings, tools
from explorer.core.artifact import Artifact
from explorer.core.errors import DeviceError, Failure, StageFailed
from explorer.line import contracts, own_code
from explorer.line.execution import Execution, current, executing

Received = dict[str, Any]  # a request, as JSON has it


def serve(kind: str) -> None:
    """Answer requests until standard input closes.

    Requests are ``{"stage": name, "parameters": {...}, "parents": {name: artifact}, "out": folder}`` or
    ``{"call": "module:function", "arguments": {...}}``; replies ``{"values": ...}`` or ``{"failure": {...}}``. Before
    its reply, a request that takes long may be followed by lines ``{"progress": {...}}`` and ``{"note": "..."}``. A
    reply with ``"ends": true`` is the last of its process.
    """
    requested, replies = _private_pipes()
    if kind == "tvm":
        without_torch()
    requests: queue.SimpleQueue[Received] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(requested, requests), daemon=True).start()

    def write(line: Mapping[str, object]) -> None:
        replies.write(json.dumps(line).encode() + b"\n")
        replies.flush()

    while True:
        request = requests.get()
        scratch = Path(request["scratch"]).absolute() if "scratch" in request else None

        def give_up(reason: str, request: Received = request) -> None:
            write({"failure": asdict(Failure(_subject(request), "device", reason)), "ends": True})
            os._exit(1)

        with executing(Execution(scratch, write, give_up)):
            reply = _answer(request)
        write(reply)


class _WithoutTorch(MetaPathFinder):
    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "torch":
            raise ModuleNotFoundError("a worker for TVM does without torch", name=name)


def without_torch() -> None:
    """Make ``import torch`` fail in this process.

    None as the module would do so, too, but scikit-learn 1.9 takes any module of that name for torch.
    """
    # Workaround: apache-tvm-ffi 0.1.14: it imports torch wherever that is installed, which makes ``import tvm`` five
    # times as slow and loads two OpenMP run times into one process; tests/workarounds
    if "torch" not in sys.modules:
        sys.meta_path.insert(0, _WithoutTorch())


def _private_pipes() -> tuple[IO[bytes], IO[bytes]]:
    """Return standard input and output, which nothing else in this process is left with.

    Whatever prints does so to standard error, which is the worker's log; whatever reads finds nothing.
    """
    requested, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requested, replies


def _read(stream: IO[bytes], requests: queue.SimpleQueue[Received]) -> None:
    for line in stream:
        requests.put(json.loads(line))
    os._exit(0)


def _answer(request: Received) -> dict[str, object]:
    try:
        if "stage" in request:
            return {"values": _run_stage(request)}
        module, _, function = request["call"].partition(":")
        return {"values": getattr(importlib.import_module(module), function)(**request["arguments"])}
    except StageFailed as failed:
        return {"failure": asdict(failed.failure)}
    except DeviceError as error:
        return {"failure": asdict(_failure(request, "device", str(error)))}
    except SystemExit as end:
        message = f"code of the user's own ended Python: SystemExit: {end}{own_modules.place_of(end)}"
        return {"failure": asdict(_failure(request, "exception", message))}
    except Exception as error:  # the study goes on: whatever a stage raises is the trial's failure, with its traceback
        return {"failure": asdict(_failure(request, *_cause(request, error)))}


def _cause(request: Received, error: Exception) -> tuple[str, str]:
    """Return kind and message of the failure that an exception is."""
    message = f"{type(error).__name__}: {error}".removesuffix(": ")
    if current().device_is_gone():
        return "device", f"the device went away: {message}"
    if kind := surroundings.kind_of(error, Path(request["out"]) if "out" in request else None):
        return kind, message
    if missing := tools.lacking():
        return "tools", missing
    return "exception", message


def _failure(request: Received, kind: str, message: str) -> Failure:
    return Failure(_subject(request), kind, message, traceback.format_exc())


def _subject(request: Received) -> str:
    return str(request.get("stage") or request["call"])


def _run_stage(request: Received) -> Mapping[str, object]:
    # Code of the user's own may change the folder that relative paths start from.
    named = {
        name: Artifact(
            parent["stage"], parent["key"], Path(parent["path"]).absolute(), parent["values"], parent["seconds"]
        )
        for name, parent in request["parents"].items()
    }
    parameters, parents = contracts.parse(request["stage"], request["parameters"], named)
    stage = cast(contracts.StageModule, plugins.load("stage", request["stage"]))
    out = Path(request["out"]).absolute()
    code = [parent for parent in named.values() if parent.stage == "code"]
    ours = [out, *(parent.path for parent in named.values() if parent.stage not in ("code", "source"))]
    with own_code.imported(code, ours):
        return stage.run(parameters, parents, out)


if __name__ == "__main__":
    serve(sys.argv[1])
