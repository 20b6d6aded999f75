"""One library of the candidates that can be built, and why the others cannot; requests until the other end closes."""

from __future__ import annotations

import json
import multiprocessing
import tarfile
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import dlas_ops
from dlas_ops._tvm import tvm
from dlas_ops.processor.targets import native_target
from dlas_ops.tuning import task_extraction
from explorer.line.tuning import building
from tests.dlas_ops import small_networks as networks

WRONG = {"tile": [99, 1, 1]}


def test_what_can_be_built_is_in_the_library(tmp_path: Path) -> None:
    lowered = dlas_ops.lower(networks.repeated(), networks.target(), algorithm="spatial_pack")
    program = tmp_path / "program.json"
    task = task_extraction.tasks(lowered, "template", networks.target())[0]
    program.write_text(tvm.ir.save_json(task.function))
    out = tmp_path / "candidates.tar"
    symbols, errors = building.build(str(program), native_target(), "template", [WRONG], str(out))
    assert (symbols, out.exists()) == ([None], False)
    symbols, errors = building.build(str(program), native_target(), "template", [WRONG, None], str(out))
    assert symbols == [None, "candidate_1"]
    assert errors[0] is not None
    assert errors[0][0] == "schedule"
    assert errors[1] is None
    with tarfile.open(out) as archive:
        [code] = [member.name for member in archive.getmembers() if member.name.endswith(".o")]
        content = archive.extractfile(code)
        assert content is not None
        assert b"candidate_1" in content.read()


def test_requests_are_answered_until_the_other_end_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    redirected: list[tuple[int, int]] = []
    monkeypatch.setattr(building, "os", SimpleNamespace(dup2=lambda *both: redirected.append(both)))
    monkeypatch.setattr(building, "build", lambda program, decisions: (program, decisions))
    ours, theirs = multiprocessing.Pipe()
    serving = threading.Thread(target=building.serve, args=(theirs,))
    serving.start()
    for request in (("a", [1]), ("b", [2])):
        ours.send_bytes(json.dumps(request).encode())
        assert json.loads(ours.recv_bytes()) == list(request)
    ours.close()
    serving.join(10)
    assert not serving.is_alive()
    assert redirected == [(2, 1)], "what a library prints goes to standard error"
