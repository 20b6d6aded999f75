"""Each benchmark runs, as small as its options let it, and writes rows: they are run by hand, and seldom."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

FOLDER = ROOT / "tests/benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if '__name__ == "__main__"' in path.read_text())

SMALL = {
    "attention.py": "--rounds 1",
    "dashboard.py": "--counts 100 --rounds 1",
    "layer_times.py": "--networks mobilenetv2@32 --sessions 1",
    "layers.py": "--networks resnet18@32 --layers 1x1* --variants direct direct:int8 --rounds 1",
    "library_memory.py": "--networks mobilenetv2@32 --algorithms direct",
    "memory.py": "--size 32",
    "networks.py": "--networks mobilenetv1@32 --variants direct direct:int8 --rounds 1",
    "overhead.py": "--repeats 1",
    "report.py": "--trials 100",
    "search.py": "--kinds overhead front --samplers random --records 1000 --counts 100",  # its grid takes 24 minutes
    "sessions.py": "--networks mobilenetv2@32/direct --threads 1 --loads 1 --rounds 2 --wait 0",
    "tuning.py": "--networks mobilenetv2@32 --kinds rate network --algorithms direct --trials 8 --candidates 4",
}
ELSEWHERE = {
    "accuracy.py": "trains for minutes at the least",
    "faults.py": "test_faults strikes with it",
    "malformed.py": "test_malformed tries with it",
    "repeatability.py": "its two runs lie minutes apart",
}


def test_every_benchmark_is_tried_or_has_a_reason() -> None:
    assert sorted([*SMALL, *ELSEWHERE]) == SCRIPTS


@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("script", SMALL)
def test_it_runs_and_writes_rows(script: str, tmp_path: Path) -> None:
    command = [sys.executable, str(FOLDER / script), *SMALL[script].split(), "--json", str(tmp_path / "found.json")]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["environment"]["cpu"]
    assert found["rows"]
