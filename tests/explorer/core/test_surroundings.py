"""Errors of the system and of libraries are told apart from those of the stack."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.core import surroundings
from explorer.core.errors import TRANSIENT


def raised(error: Exception, behind: Exception) -> Exception:
    """Return `error` as it is after it was raised from the one behind it."""
    try:
        raise error from behind
    except type(error) as caught:
        return caught


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "space"),
        (OSError(errno.EROFS, "Read-only file system"), "permission"),
        (PermissionError(errno.EACCES, "Permission denied"), "permission"),
        (OSError(errno.EMFILE, "Too many open files"), "limit"),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), "limit"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (RuntimeError("std::bad_alloc"), "out_of_memory"),
        (RuntimeError("Tar error:\ntar: a.o: Cannot write: No space left on device"), "space"),
        (RuntimeError("Tar error:\ntar: This does not look like a tar archive"), "storage"),
        (OSError("/tmp/a.so: file too short"), "storage"),
        (RuntimeError("a.so: failed to map segment from shared object"), "permission"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "connection"),
        (TimeoutError("too late"), "timeout"),
        (raised(RuntimeError("cannot save"), OSError(errno.EDQUOT, "Disk quota exceeded")), "space"),
        (FileNotFoundError(errno.ENOENT, "No such file"), None),
        (ValueError("out of memory, says the user's code"), None),
        (RuntimeError("shapes differ"), None),
        (raised(RuntimeError("outer"), ValueError("inner")), None),
    ],
)
def test_the_kind_is_that_of_the_cause(error: Exception, kind: str | None, tmp_path: Path) -> None:
    assert surroundings.kind_of(error, tmp_path) == kind
    assert kind is None or kind in TRANSIENT


def test_any_error_on_a_full_disk_is_one_of_space(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    error = RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed")
    assert surroundings.kind_of(error, tmp_path) is None
    monkeypatch.setattr(surroundings, "LEAST_SPACE", 1 << 62)
    assert surroundings.kind_of(error, tmp_path) == "space"
    assert not surroundings.is_full(tmp_path / "nowhere")


def test_any_error_in_a_process_that_gets_no_more_memory_is_one_of_memory() -> None:
    program = (
        "import resource; from explorer.core import surroundings\n"
        "error = ImportError('x.so: failed to map segment from shared object')\n"
        "print(surroundings.kind_of(error))\n"
        "have = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (have + (1 << 22), -1))\n"
        "print(surroundings.kind_of(error))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "out_of_memory"]
