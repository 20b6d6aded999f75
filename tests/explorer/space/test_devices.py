"""The devices file: what an entry says, and what is refused."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import SpaceError
from explorer.space import devices
from explorer.space.toml import space_file
from tests.explorer.spaces import Raw, render

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


def test_a_device_is_real_unless_its_entry_says_that_it_is_emulated(tmp_path: Path) -> None:
    found = devices.load(write(tmp_path, RPI.replace("[rpi4]", "[rpi4]\nemulated = true")))
    assert (found["rpi4"].emulated, found["local"].emulated) == (True, False)


def test_the_file_may_pin_the_local_device(tmp_path: Path) -> None:
    assert devices.load(write(tmp_path, "[local]\ncores = [1]\n"))["local"].cores == (1,)


BOARD = {"tracker": "tracker.lan:9190", "cores": [2, 3]}
TARGET = {"kind": "llvm", "mtriple": "aarch64-linux-gnu"}


@pytest.mark.parametrize(
    ("entry", "target", "message"),
    [
        ({"tracker": "tracker.lan"}, {}, ":2: tracker 'tracker.lan' is neither 'host:port' nor 'loopback'"),
        ({"tracker": "tracker.lan:99999"}, {}, ":2: tracker 'tracker.lan:99999' is neither"),
        ({"cores": []}, {}, ":3: cores is empty; leave it out to use all cores"),
        ({"cores": [-1]}, {}, ":3: "),
        (
            {"cores": None, "core": [2, 3]},
            {},
            ":3: unknown key 'core' in [rpi4]; allowed: name, tracker, ssh, key, target, ",
        ),
        ({"emulated": "yes"}, {}, ":4: emulated = 'yes' in [rpi4] should be a valid boolean"),
        ({}, {"kind": None}, ":4: a target needs its kind, such as kind = 'llvm'"),
        (
            {},
            {"kind": "open_cl"},
            ":4: there are no schedules for targets of kind 'open_cl'; allowed: llvm, opencl, cuda; did you mean "
            "'opencl'?",
        ),
        ({}, {"num-cores": Raw("inf")}, ":4: num-cores = inf in a target is no whole number of 32 bits"),
        ({}, {"num-cores": 2**63}, ":4: num-cores = 9223372036854775808 in a target is no whole number of 32 bits"),
        ({"cores": [2**63]}, {}, ":3: "),
        ({"tracker": f"lan:{'9' * 5000}"}, {}, ":2: tracker 'lan:999"),
        ({}, {"kind": "cuda"}, ":4: a target of kind 'cuda' takes no mtriple; it belongs into the target's host"),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(
    tmp_path: Path, entry: dict[str, Any], target: dict[str, Any], message: str
) -> None:
    text = render({}, rpi4={**BOARD, **entry}, **{"rpi4.target": {**TARGET, **target}})
    assert refused(tmp_path, text.removeprefix("[axes]\n")).startswith(message)


def test_a_target_is_native_or_a_table(tmp_path: Path) -> None:
    assert refused(tmp_path, '[rpi4]\ntracker = "loopback"\ncores = [1]\ntarget = "arm"\n').startswith(":4: ")


@pytest.mark.parametrize(
    ("target", "is_gpu"), [('"native"', False), ('{ kind = "llvm" }', False), ('{ kind = "opencl" }', True)]
)
def test_a_gpu_is_told_by_the_kind_of_its_target(tmp_path: Path, target: str, is_gpu: bool) -> None:
    assert devices.load(write(tmp_path, f"[board]\ntarget = {target}\n"))["board"].is_gpu == is_gpu


def test_an_entry_is_a_table(tmp_path: Path) -> None:
    assert refused(tmp_path, "x = 3\n" + RPI).startswith(":1: 'x' is no table; a device starts with a line [x]")


def refused(folder: Path, text: str) -> str:
    """Return the sentence with which the devices are refused, behind the file's name."""
    with pytest.raises(SpaceError) as caught:
        devices.load(write(folder, text))
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{folder}/devices.toml")


def test_the_examples_in_the_bundled_file_are_devices_once_uncommented(tmp_path: Path) -> None:
    text = (space_file.BUNDLED / "devices.toml").read_text()
    assert set(tomllib.loads(text)) == {"local"}
    head, _, examples = text.partition("# [rpi4]")
    uncommented = head + "\n".join(line.removeprefix("# ") for line in ("# [rpi4]" + examples).splitlines())
    found = devices.load(write(tmp_path, uncommented.replace("\n#\n", "\n\n")))
    assert set(found) == {"local", "rpi4"}
    assert found["rpi4"].target["mcpu"] == "cortex-a72"  # type: ignore[index]


ENTRY = {"tracker": "lan:9190", "target": {"kind": "llvm", "mcpu": "cortex-a72", "mattr": ["+crc"], "num-cores": 4}}


@pytest.mark.parametrize("before", ["", "# ours\n[old]\n", "[old]  # without an end"])
def test_an_entry_is_appended_and_the_rest_stays(tmp_path: Path, before: str) -> None:
    path = tmp_path / "devices.toml"
    if before:
        path.write_text(before)
    devices.append(path, "rpi-4", ENTRY)
    assert path.read_text().startswith(before)
    found = devices.load(path)
    assert (found["rpi-4"].tracker, found["rpi-4"].target) == (ENTRY["tracker"], ENTRY["target"])
    assert ("old" in found) == bool(before)
    written = path.read_text()
    with pytest.raises(SpaceError, match="there is a device 'rpi-4' already, which stays as it is"):
        devices.append(path, "rpi-4", {"tracker": "other:9190"})
    assert path.read_text() == written


@pytest.mark.parametrize("name", ["a+b", " a", "", "a\n", "x" * 201])
def test_a_name_that_no_choice_can_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpaceError, match="is no name for a device: "):
        devices.load(write(tmp_path, f'[{json.dumps(name)}]\ntracker = "lan:9190"\n'))


@pytest.mark.parametrize("name", ["", "two words", "a.b", "ä"])
def test_a_name_that_needs_quotes_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpaceError, match="is no name for a device"):
        devices.append(tmp_path / "devices.toml", name, ENTRY)
    assert not (tmp_path / "devices.toml").exists()
