"""The programs of a bundle, run as a user does: with TVM's runtime and NumPy alone, and in C++ without Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tvm
import tvm_ffi

from explorer.bundles import manifest as files
from tests import ROOT
from tests.explorer.bundles.rewritten import INT8, spoil

pytestmark = pytest.mark.slow  # two studies, which other tests share, come first

WHEEL = Path(tvm.__file__).parent
ALLOWED = ("numpy", "tvm", "tvm_ffi", "ml_dtypes", "typing_extensions")  # TVM's wheel and what it needs, and NumPy
# Runs a script where no other package of this environment can be imported, and prints which of TVM's libraries it has.
ALONE = """
import runpy, sys
class Refuse:
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] not in sys.stdlib_module_names and name.split(".")[0] not in {allowed!r}:
            raise ModuleNotFoundError(f"no {{name}} where a bundle is deployed", name=name)
sys.meta_path.insert(0, Refuse())
sys.argv = [{script!r}, "--runs", "3"]
try:
    runpy.run_path({script!r}, run_name="__main__")
finally:
    print(*sorted({{line.split("/")[-1].strip() for line in open("/proc/self/maps") if "libtvm_" in line}}))
"""
OUTPUTS = re.compile(r"outputs (\w+): off by at most (\S+) of their range")
BARE = {"PATH": "/usr/bin:/bin"}

compiler = pytest.mark.skipif(
    not (shutil.which("g++") and shutil.which("make")), reason="g++ or make is missing: sudo apt install g++ make"
)


def run_alone(folder: Path) -> subprocess.CompletedProcess[str]:
    script = ALONE.format(allowed=ALLOWED, script=str(folder / "run.py"))
    return subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, env=BARE, cwd="/")


@pytest.mark.parametrize("name", ["float32", INT8])
def test_python_needs_the_runtime_and_numpy_alone(bundles: Path, name: str) -> None:
    done = run_alone(bundles / name)
    assert done.returncode == 0, done.stderr
    manifest = files.read(bundles / name)
    verdict = OUTPUTS.search(done.stdout)
    assert verdict
    assert verdict[1] == "agree"
    assert float(verdict[2]) <= manifest.samples.tolerance
    assert f"batch {manifest.input.shape[0]}, threads {manifest.device.threads}, the median of 3 runs" in done.stdout
    (loaded,) = (line for line in done.stdout.splitlines() if line.startswith("lib"))
    assert {"libtvm_ffi.so", "libtvm_runtime.so"} <= set(loaded.split())
    assert "libtvm_compiler.so" not in loaded


def test_python_says_which_outputs_disagree_and_what_is_not_linked(copied: Path) -> None:
    spoil(copied)
    done = run_alone(copied)
    assert done.returncode == 1, done.stderr
    assert "outputs DISAGREE" in done.stdout
    (copied / files.SHARED).unlink()
    done = run_alone(copied)
    assert done.returncode == 2
    assert f"{files.SHARED} is not linked yet" in done.stderr
    assert "Traceback" not in done.stderr


@compiler
def test_cpp_needs_the_runtime_alone(copied: Path, tmp_path: Path) -> None:
    """It runs where there are two libraries of TVM and no Python, and computes what Python does."""
    shutil.copytree(copied, built := tmp_path / "built")
    make = ["make", "-C", str(built), f"TVM={WHEEL}"]
    done = subprocess.run(make, capture_output=True, text=True, env=BARE)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    (runtime := tmp_path / "runtime").mkdir()
    for library in (WHEEL / "lib" / "libtvm_runtime.so", Path(tvm_ffi.__file__).parent / "lib" / "libtvm_ffi.so"):
        shutil.copy(library, runtime)
    alone = {"LD_LIBRARY_PATH": str(runtime)}
    done = subprocess.run([built / "example"], capture_output=True, text=True, env=alone, cwd="/")
    assert done.returncode == 0, done.stderr
    in_python = run_alone(copied).stdout
    classes = re.compile("classes of the samples: .*")
    assert classes.findall(done.stdout) == classes.findall(in_python) != []
    assert OUTPUTS.findall(done.stdout) == OUTPUTS.findall(in_python)
    assert "batch 3, threads 2" in done.stdout
    needed = subprocess.run(["ldd", built / "example"], capture_output=True, text=True, env=alone).stdout
    assert {str(path) for path in map(Path, re.findall(r"=> (\S*libtvm\S*)", needed))} == {
        str(runtime / name) for name in ("libtvm_runtime.so", "libtvm_ffi.so")
    }
    assert "python" not in needed

    spoil(copied)
    done = subprocess.run([built / "example", copied], capture_output=True, text=True, env=alone, cwd="/")
    assert (done.returncode, "outputs DISAGREE" in done.stdout) == (1, True)
    (copied / files.PIXELS).unlink()
    done = subprocess.run([built / "example", copied], capture_output=True, text=True, env=alone, cwd="/")
    assert (done.returncode, f"{files.PIXELS} is no .npy file" in done.stderr) == (2, True)


@compiler
def test_make_links_object_files_and_says_where_tvm_is_missing(copied: Path, striped: Path) -> None:
    (objects,) = (striped / "artifacts" / "build").glob("*/*/network.tar")
    shutil.copy(objects, copied)
    (copied / files.SHARED).unlink()
    subprocess.run(["make", "-C", str(copied), files.SHARED], check=True, capture_output=True, env=BARE)
    assert run_alone(copied).returncode == 0
    done = subprocess.run(["make", "-C", str(copied), "TVM=/nowhere"], capture_output=True, text=True, env=BARE)
    assert done.returncode == 2
    assert "there is no TVM at '/nowhere': name its folder, make TVM=/path/to/tvm" in done.stderr


@pytest.mark.nightly
def test_python_runs_in_a_fresh_environment_of_the_wheels_alone(bundles: Path, tmp_path: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pinned = [each for each in project["dependencies"] if each.startswith("apache-tvm")]
    wheels = [each.replace("[rpc]", "") for each in pinned]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "fresh"], check=True)
    python = tmp_path / "fresh" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", *wheels, "numpy"]
    if (done := subprocess.run(install, capture_output=True, text=True)).returncode:
        pytest.skip(f"TVM's wheels cannot be had: {done.stderr.strip().splitlines()[-1]}")
    listed = subprocess.run([python, "-m", "pip", "list", "--format=freeze"], capture_output=True, text=True).stdout
    names = {line.partition("==")[0].replace("-", "_") for line in listed.splitlines()}
    assert names <= {"apache_tvm", "apache_tvm_ffi", "numpy", "ml_dtypes", "typing_extensions", "pip", "setuptools"}
    for name in ("float32", INT8):
        done = subprocess.run(
            [python, bundles / name / "run.py"], capture_output=True, text=True, env={"PATH": os.defpath}, cwd="/"
        )
        assert done.returncode == 0, done.stderr
        assert "outputs agree" in done.stdout
