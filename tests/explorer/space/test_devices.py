from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from explorer.core.errors import SpaceError
from explorer.space import devices, space_file

RPI = """\
[rpi4]
tracker = "tracker.lan:9190"
cores = [2, 3]
[rpi4.target]
kind = "llvm"
mtriple = "aarch64-linux-gnu"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "devices.toml"
    path.write_text(text)
    return path


def test_without_a_file_there_is_the_local_device(tmp_path: Path) -> None:
    assert devices.load(tmp_path / "devices.toml") == {"local": devices.LOCAL}
    assert devices.LOCAL.is_loopback


def test_an_entry_has_its_name_as_key_and_joins_the_local_device(tmp_path: Path) -> None:
    found = devices.load(write(tmp_path, RPI))
    assert list(found) == ["local", "rpi4"]
    board = found["rpi4"]
    assert (board.name, board.key, board.tracker, board.cores) == ("rpi4", "rpi4", "tracker.lan:9190", (2, 3))
    assert board.target == {"kind": "llvm", "mtriple": "aarch64-linux-gnu"}
    assert not board.is_loopback


def test_the_file_may_pin_the_local_device(tmp_path: Path) -> None:
    assert devices.load(write(tmp_path, "[local]\ncores = [1]\n"))["local"].cores == (1,)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"tracker.lan:9190"', '"tracker.lan"', ":2: tracker 'tracker.lan' is neither 'host:port' nor 'loopback'"),
        ('"tracker.lan:9190"', '"tracker.lan:99999"', ":2: tracker 'tracker.lan:99999' is neither"),
        ("[2, 3]", "[]", ":3: cores is empty; leave it out to use all cores"),
        ("[2, 3]", "[-1]", ":3: "),
        ("cores", "core", ":3: unknown key 'core' in [rpi4]; allowed: name, tracker, key, target, cores, "),
        ('kind = "llvm"\n', "", ":4: a target needs its kind, such as kind = 'llvm'"),
        ('kind = "llvm"', 'kind = "cuda"', ":4: there are no schedules for targets of kind 'cuda'; allowed: llvm"),
        ('[rpi4.target]\nkind = "llvm"\nmtriple', 'target = "arm"\ndescription', ":4: "),
        ("[rpi4]", "x = 3\n[rpi4]", ":1: 'x' is no table; a device starts with a line [x]"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in RPI
    with pytest.raises(SpaceError) as caught:
        devices.load(write(tmp_path, RPI.replace(old, new)))
    assert str(caught.value).startswith(f"{tmp_path}/devices.toml{message}")
    assert "\n" not in str(caught.value)


def test_the_examples_in_the_bundled_file_are_devices_once_uncommented(tmp_path: Path) -> None:
    text = (space_file.BUNDLED / "devices.toml").read_text()
    assert set(tomllib.loads(text)) == {"local"}
    head, _, examples = text.partition("# [rpi4]")
    uncommented = head + "\n".join(line.removeprefix("# ") for line in ("# [rpi4]" + examples).splitlines())
    found = devices.load(write(tmp_path, uncommented.replace("\n#\n", "\n\n")))
    assert set(found) == {"local", "rpi4"}
    assert found["rpi4"].target["mcpu"] == "cortex-a72"  # type: ignore[index]
