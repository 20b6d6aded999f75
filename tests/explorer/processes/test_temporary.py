"""The folder for temporary files: any that the user has works, by a short link if need be, if libraries load there."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from explorer.core.errors import ExplorerError
from explorer.processes import temporary

# In a process of its own: where it puts temporary files, and a helper, which has a socket there.
CODE = """
import multiprocessing, os, tempfile
from explorer.processes import temporary
print(os.fsencode(temporary.folder()), flush=True)
os.environ["TMPDIR"] = tempfile.tempdir = temporary.folder()
process = multiprocessing.get_context("forkserver").Process(target=print, args=("alive",))
process.start()
process.join()
tempfile.mkdtemp(prefix="kept-")
"""


def started(given: Path) -> tuple[str, str]:
    environment = {**os.environ, "TMPDIR": str(given)}
    found = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, check=True, text=True)
    place, alive = found.stdout.splitlines()
    return ast.literal_eval(place).decode(), alive


def test_a_socket_fits_below_a_link_to_a_long_path_which_goes_with_its_process(tmp_path: Path) -> None:
    given = tmp_path / ("x" * 90)
    given.mkdir()
    place, alive = started(given)
    assert alive == "alive"
    assert len(place) <= temporary.MOST
    assert [each.name.partition("-")[0] for each in given.iterdir()] == ["kept"]
    assert not Path(place).parent.exists()


@pytest.mark.parametrize("name", ["my.target", os.fsdecode(b"caf\xe9")])
def test_a_path_that_tvm_mistakes_is_not_taken(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    assert started(tmp_path / name) == ("/tmp", "alive")
    assert not list((tmp_path / name).iterdir())


def test_where_no_library_loads_another_folder_is_taken_or_the_user_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    usable = {"/var/tmp"}
    monkeypatch.setattr(temporary, "loads", lambda place: str(place) in usable)
    assert temporary.folder.__wrapped__() == "/var/tmp"
    usable.clear()
    with pytest.raises(ExplorerError, match=f"'{tmp_path}', cannot be used, and none of .*set TMPDIR"):
        temporary.folder.__wrapped__()


def test_a_file_system_says_whether_libraries_load() -> None:
    mounts = [line.split()[1:4] for line in Path("/proc/mounts").read_text().splitlines()]
    last = {place: options.split(",") for place, _, options in mounts if "\\" not in place and os.path.isdir(place)}
    assert {place: temporary.loads(Path(place)) for place in last} == {
        place: "noexec" not in options for place, options in last.items()
    }
    assert not temporary.loads(Path("/nowhere"))
