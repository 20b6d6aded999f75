"""The GPUs of a machine: named by the environment, or listed by the driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.processes import gpus

LISTING = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5c89852e-5a3d-7a6b-8f0b-0c1d2e3f4a5b)
  MIG 3g.40gb     Device  0: (UUID: MIG-2f1d8a5c-0000-5f3e-9a77-9d3b4a1c2d3e)
GPU 1: NVIDIA H100 80GB HBM3 (UUID: GPU-11111111-2222-3333-4444-555555555555)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in place of nvidia-smi, the only one of that name on the path."""
    path = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv(gpus.VARIABLE, raising=False)
    return path


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_the_driver_lists_them(program: Path) -> None:
    write(program, f"test \"$1\" = -L && cat <<'END'\n{LISTING}END")
    assert gpus.visible() == (
        "GPU-5c89852e-5a3d-7a6b-8f0b-0c1d2e3f4a5b",
        "GPU-11111111-2222-3333-4444-555555555555",
    )


def test_a_driver_that_does_not_answer_has_none(program: Path) -> None:
    write(program, "echo 'NVIDIA-SMI has failed'; exit 9")
    assert gpus.visible() == ()


@pytest.mark.parametrize(
    ("named", "seen"),
    [("0,1", ("0", "1")), ("GPU-a, GPU-b", ("GPU-a", "GPU-b")), ("", ()), ("-1", ()), ("2,-1,3", ("2",))],
)
def test_the_environment_goes_before_the_driver(
    named: str, seen: tuple[str, ...], program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(program, f"echo '{LISTING}'")
    monkeypatch.setenv(gpus.VARIABLE, named)
    assert gpus.visible() == seen
