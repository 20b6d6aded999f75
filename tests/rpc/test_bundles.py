"""Bundles for this machine's OpenCL device and for emulated 64-bit Arm: made here, linked, run and verified there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import tvm

import explorer
from explorer.bundles import manifest as files
from explorer.core.errors import ExplorerError
from tests import ROOT, emulated_arm, opencl, studies
from tests.emulated_arm.packages import SITE
from tests.explorer.bundles.rewritten import without_torch
from tests.explorer.command import dlas

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]

GPU = '[gpu]\ntarget = { kind = "opencl", device = "pocl" }\n'
ONCE = {"sessions": 1, "most_sessions": 1}


def bundled(folder: Path, entry: str, device: str) -> Path:
    """Return the bundle of a small network that was trained, and measured on a device of this entry."""
    (folder / "devices.toml").write_text(entry)
    axes = {"compression": "none", "ratio": None, "threads": 1, "device": device}
    space = studies.write_space(folder, "bundled", (studies.SMALL,), ("direct",), 2, axes, measure=ONCE)
    summary = studies.run(space, folder / "workspace", events := studies.Events())
    assert summary.complete == 1, [*events.outcomes.values()]
    explorer.bundle(0, folder / "bundle", folder / "workspace")
    return folder / "bundle"


@opencl.needed
def test_a_gpu_runs_its_bundle(tmp_path: Path) -> None:
    """PoCL is one, on this machine's processor."""
    bundle = bundled(tmp_path, GPU, "gpu")
    manifest = files.read(bundle)
    assert (manifest.kind, manifest.library.file) == ("opencl", files.SHARED)
    assert manifest.device.needs.startswith("libtvm_runtime_opencl.so beside libtvm_runtime.so")
    found = explorer.verify(bundle, "gpu", tmp_path / "devices.toml", sessions=1)
    assert found.agree
    assert found.latency.value > 0
    done = subprocess.run([sys.executable, "-I", bundle / "run.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "outputs agree" in done.stdout
    wheel = Path(tvm.__file__).parent
    done = subprocess.run(["make", "-C", bundle, f"TVM={wheel}", "run"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "outputs agree" in done.stdout


@dataclass(frozen=True)
class OnArm:
    """A bundle for an emulated device whose server runs, and the system that it runs in."""

    bundle: Path
    devices: Path
    system: emulated_arm.System


@pytest.fixture(scope="module")
def on_arm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnArm]:
    folder = tmp_path_factory.mktemp("arm")
    try:
        system = emulated_arm.installed()
    except emulated_arm.Missing as missing:
        pytest.skip(str(missing))
    with emulated_arm.server(system) as tracker:
        bundle = bundled(folder, emulated_arm.entry(tracker), "arm")
        yield OnArm(bundle, folder / "devices.toml", system)


def test_arm_verifies_its_bundle_for_a_machine_without_torch(on_arm: OnArm, tmp_path: Path) -> None:
    given = [str(on_arm.bundle), "--device", "arm", "--file", str(on_arm.devices), "--sessions", "1", "--json"]
    start = [sys.executable, "-c", "from explorer.cli import main; main()", "verify", *given]
    done = subprocess.run(start, capture_output=True, text=True, env=without_torch(tmp_path), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["result"]
    assert (found["device"], found["emulated"], found["agree"]) == ("arm", True, True)
    assert found["relative_error"] < 1e-4
    assert found["latency_ms"] > 0


def test_arm_links_the_library_and_runs_the_samples(on_arm: OnArm, tmp_path: Path) -> None:
    """The system has a linker and no compiler, so that it does what the manifest's command has the compiler do."""
    manifest = files.read(on_arm.bundle)
    assert (manifest.library.file, manifest.device.emulated) == (files.OBJECTS, True)
    with tarfile.open(on_arm.bundle / files.OBJECTS) as packed:
        packed.extractall(tmp_path, filter="data")
    objects = map(str, sorted(tmp_path.glob("*.o")))
    on_arm.system.printed("usr/bin/ld", "-shared", "-o", str(on_arm.bundle / files.SHARED), *objects)
    site = {"PYTHONPATH": str(on_arm.system.root / SITE)}
    command = on_arm.system.command("usr/bin/python3", str(on_arm.bundle / "run.py"), "--runs", "3", cpu="cortex-a76")
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **site})
    assert done.returncode == 0, done.stderr
    assert "outputs agree" in done.stdout


def test_a_bundle_for_arm_does_not_run_here(on_arm: OnArm, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ExplorerError, match="is made for device 'arm' and does not fit: device 'local' is "):
        explorer.verify(on_arm.bundle)
    assert dlas("verify", on_arm.bundle) == 2
    assert capsys.readouterr().err.count("\n") == 1
