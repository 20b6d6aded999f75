"""Cores that this process may use: by its affinity, by quotas of either version of cgroups, and by the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dlas_ops.processor.usable_cores import core_count, thread_limit, usable_cores, wanted_threads
from tests import ROOT

NOWHERE = Path("no such file")


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))


def written(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")
    return root


@pytest.mark.parametrize(
    ("groups", "files", "count"),
    [
        ("0::/job/step", {"job/step/cpu.max": "max 100000", "cpu.max": "max 100000"}, 8),
        ("0::/job/step", {"job/step/cpu.max": "max 100000", "job/cpu.max": "250000 100000"}, 2),
        ("0::/job/step", {"job/step/cpu.max": "50000 100000"}, 1),
        ("0::/of/its/host", {"cpu.max": "300000 100000"}, 3),
        ("0::/../..", {"cpu.max": "1600000 100000"}, 8),
        ("0::/job", {"unified/job/cpu.max": "400000 100000"}, 4),
        ("3:cpu,pids:/a", {"cpu,pids/a/cpu.cfs_quota_us": "500000", "cpu,pids/a/cpu.cfs_period_us": "100000"}, 5),
        ("3:cpu:/a", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ("3:cpuset:/a", {"cpu/a/cpu.cfs_quota_us": "100000", "cpu/a/cpu.cfs_period_us": "100000"}, 8),
        ("no group", {}, 8),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("eight")
def test_a_quota_of_processor_time_counts_in_whole_cores(
    groups: str, files: dict[str, str], count: int, tmp_path: Path
) -> None:
    (tmp_path / "cgroup").write_text(f"{groups}\n")
    assert core_count(tmp_path / "cgroup", written(tmp_path / "mounted", files)) == count


@pytest.mark.parametrize(
    ("given", "wanted"), [("", None), ("3", 3), ("2,1", 2), ("0", None), ("many", None), ("99", 99)]
)
@pytest.mark.usefixtures("eight")
def test_the_users_variable_is_an_upper_bound(given: str, wanted: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert wanted_threads() == wanted
    assert thread_limit() == min(core_count(), wanted or core_count())


def test_taskset_leaves_the_cores_that_it_names() -> None:
    core = usable_cores()[-1]
    code = "from dlas_ops.processor.usable_cores import *; print(usable_cores(), core_count(), thread_limit())"
    told = subprocess.run(
        ["taskset", "-c", str(core), sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert told.stdout == f"({core},) 1 1\n"


def test_without_cgroups_the_affinity_counts() -> None:
    assert core_count(NOWHERE) == len(usable_cores())
