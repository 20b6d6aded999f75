"""Affinity, cgroups and environment → the cores and threads that this process may compute with, the only place for it.

``taskset``, a cpuset and a batch system narrow a process's affinity; ``docker --cpus`` and systemd give it a quota of
processor time, where more threads than whole cores would wait for one another.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePath

GROUPS = Path("/proc/self/cgroup")
MOUNTED = Path("/sys/fs/cgroup")


def usable_cores() -> tuple[int, ...]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def core_count(groups: Path = GROUPS, mounted: Path = MOUNTED) -> int:
    """Return how many cores' time this process may use: those of its affinity, or fewer whole ones by its quota."""
    quotas = [quota for quota in _quotas(groups, mounted) if quota > 0]
    return min([len(usable_cores()), *(max(1, int(quota)) for quota in quotas)])


def thread_limit() -> int:
    """Return how many threads may compute together: `core_count`, or fewer where the user wants fewer."""
    return min(core_count(), wanted_threads() or core_count())


def wanted_threads() -> int | None:
    """Return how many threads the user's ``OMP_NUM_THREADS`` names; None if it names none."""
    given = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # others are of nested regions
    return int(given) or None if given.isdecimal() else None


def _quotas(groups: Path, mounted: Path) -> Iterator[float]:
    """Yield the cores that each cgroup above this process may use the time of, as far as they are limited."""
    with contextlib.suppress(OSError, ValueError):
        for line in groups.read_text(encoding="utf-8").splitlines():
            number, controllers, path = line.split(":", 2)
            if number == "0":  # of cgroup 2, which may be mounted below 1
                for root in (mounted, mounted / "unified"):
                    yield from _limits(root, path, ("cpu.max",))
            elif "cpu" in controllers.split(","):
                for root in (mounted / controllers, mounted / "cpu"):
                    yield from _limits(root, path, ("cpu.cfs_quota_us", "cpu.cfs_period_us"))


def _limits(root: Path, path: str, files: tuple[str, ...]) -> Iterator[float]:
    """Yield quota over period of the cgroup at `path` below `root`, and of all above it."""
    below = PurePath(path.lstrip("/"))
    for place in (root / below, *(root / above for above in below.parents)):
        # In a container the path may be that of its host, and the root is its own.
        with contextlib.suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = (float(word) for name in files for word in (place / name).read_text().split())
            yield quota / period
