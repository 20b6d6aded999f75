"""A devices.toml file → the devices that a search may measure on, by name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from explorer.core import names
from explorer.core.errors import DeviceError, ExplorerError, SpaceError, did_you_mean
from explorer.space import gpu_targets
from explorer.space.toml import space_file
from explorer.space.toml.toml_file import TomlFile

LOOPBACK = "loopback"
HERE = "unix:"  # what the address of a server that the explorer runs on this machine begins with
THROUGH = " through ssh "  # between the address of a tracker and the machine which that address holds on
# A user and a machine as `ssh` takes them, or its URL; nothing that it would take for an option or expand.
SSH = r"(ssh://)?([a-z0-9_][\w.+-]*@)?([a-z0-9_][\w.:-]*|\[[0-9a-f:]+\](:\d+)?)"
TARGET_KINDS = (gpu_targets.CPU, gpu_targets.OPENCL, gpu_targets.CUDA)  # that dlas_ops schedules
Core = Annotated[int, Field(ge=0, lt=4096)]


class Device(BaseModel):
    """One entry of the devices file.

    Parameters
    ----------
    name
        Name of the entry, as the axis `device` uses it.
    tracker
        ``"host:port"`` of the TVM RPC tracker that the device is registered with, or ``"loopback"``: a server that the
        study starts on this machine, and that its user alone reaches.
    ssh
        ``"user@host"`` of a machine that this one reaches by SSH, where the tracker has that address; "" for a tracker
        that is reached at its address from here.
    key
        Key under which the tracker knows the device; the device's name unless given.
    target
        What to compile for, as `tvm.target.Target` takes it, or ``"native"``: the CPU of the machine that compiles.
        A GPU's has its processor's target as ``host``, unless that is the machine that compiles.
    cores
        Cores that a loopback server runs on; None means all.
    emulated
        Whether the device is none that one can buy, such as a processor under emulation: what is measured on it says
        nothing of a real one, and is marked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    tracker: str = LOOPBACK
    ssh: str = ""
    key: str
    target: dict[str, Any] | Literal["native"] = "native"
    cores: tuple[Core, ...] | None = None
    emulated: bool = False
    description: str = ""

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if wrong := names.refused(value):  # logs have it
            raise ValueError(f"device {wrong}")
        return value

    @field_validator("tracker")
    @classmethod
    def _address(cls, value: str) -> str:
        if value != LOOPBACK and not is_address(value):
            raise ValueError(f"tracker '{value}' is neither 'host:port' nor 'loopback'")
        return value

    @field_validator("ssh")
    @classmethod
    def _destination(cls, value: str, info: ValidationInfo) -> str:
        if value and not is_destination(value):
            raise ValueError(f"ssh '{value}' is neither 'user@host' nor a host that ssh knows")
        if value and info.data.get("tracker") == LOOPBACK:
            raise ValueError('ssh needs the tracker\'s address on that machine, such as tracker = "127.0.0.1:9190"')
        return value

    @field_validator("target")
    @classmethod
    def _target_kind(cls, value: dict[str, Any] | str) -> dict[str, Any] | str:
        if isinstance(value, dict) and "kind" not in value:
            raise ValueError("a target needs its kind, such as kind = 'llvm'")
        if isinstance(value, dict) and value["kind"] not in TARGET_KINDS:
            raise ValueError(
                f"there are no schedules for targets of kind '{value['kind']}'"
                f"{did_you_mean(value['kind'], TARGET_KINDS)}"
            )
        if isinstance(value, dict) and (wrong := _odd_number(value)):
            raise ValueError(wrong)
        if gpu_targets.is_gpu(value) and (wrong := gpu_targets.wrong(value)):
            raise ValueError(wrong)
        return value

    @field_validator("cores", mode="before")
    @classmethod
    def _core_list(cls, value: Any) -> Any:
        if isinstance(value, list):
            if not value:
                raise ValueError("cores is empty; leave it out to use all cores")
            return tuple(value)
        return value

    @property
    def is_loopback(self) -> bool:
        """Whether the study itself starts the device's tracker and server."""
        return self.tracker == LOOPBACK

    @property
    def address(self) -> str:
        """The tracker's address, and the machine where that holds if any, for `explorer.line.device.rpc.connect`."""
        return f"{self.tracker}{THROUGH}{self.ssh}" if self.ssh else self.tracker

    @property
    def is_gpu(self) -> bool:
        """Whether networks run on a GPU, which the device's processor sends them to."""
        return gpu_targets.is_gpu(self.target)

    @property
    def is_here(self) -> bool:
        """Whether the device's server runs on this machine, so that our own work would disturb a measurement on it."""
        if self.ssh:
            return False
        if self.is_loopback or self.tracker.startswith(HERE):
            return True
        return _is_here(self.tracker)


def _is_here(tracker: str) -> bool:
    host = tracker.rpartition(":")[0]
    return host in ("localhost", "::1") or host.startswith("127.")


LOCAL = Device(name="local", key="local", description="this machine, over a server of its own")


def open_to(address: str) -> str:
    """Return who may run code on the device at a `Device.address`; see `explorer.line.probing.answers.Answers`."""
    if address.startswith(HERE):
        return "user"
    return "machine" if THROUGH in address or _is_here(address) else "network"


def is_destination(text: str) -> bool:
    """Tell whether a text is a machine as ssh takes it, ``"user@host"``, and nothing that ssh takes for an option."""
    return re.fullmatch(SSH, text, re.ASCII | re.IGNORECASE) is not None


def why_no_name(name: str) -> str | None:
    """Return why no device can have this `name`, which choices join by ``+`` and columns end in; None if one can."""
    if not name or name != name.strip():
        return "it has blanks around it, or nothing in it"
    if "+" in name:
        return "it has a + in it"
    return None if names.is_name(name) else names.RULE


def _odd_number(target: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a number in a target, None if nothing is: TVM takes 32 bits of whole numbers."""
    for name, value in target.items():
        if isinstance(value, Mapping) and (wrong := _odd_number(value)):
            return wrong
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, float) or (isinstance(each, int) and not -(2**31) <= each < 2**31):
                return f"{name} = {each!r} in a target is no whole number of 32 bits"
    return None


def is_address(text: str) -> bool:
    """Tell whether a text is the address of a tracker, ``"host:port"``."""
    match = re.fullmatch(r"[^\s:]+:(\d+)", text)
    return match is not None and len(match[1]) < 6 and 0 < int(match[1]) < 65536


def load(path: Path) -> dict[str, Device]:
    """Return the devices of the file at `path`, by name; ``local`` is always among them.

    A file that does not exist has no entries: then there is ``local`` alone.

    Raises
    ------
    SpaceError
        If the file cannot be used; the message names the line.
    """
    devices = {LOCAL.name: LOCAL}
    if not path.exists():
        return devices
    file = TomlFile.read(path)
    for name, entry in file.content.items():
        if not isinstance(entry, dict):
            raise file.error(f"'{name}' is no table; a device starts with a line [{name}]", name)
        if why := why_no_name(name):
            raise file.error(f"{names.shown(name)} is no name for a device: {why}", name)
        devices[name] = file.validate(Device, {"key": name, **entry, "name": name}, (name,))
    return devices


def entries(file: Path | None = None) -> dict[str, Device]:
    """Return the devices of a file that must be there, by default of the bundled one, by name.

    Raises
    ------
    ExplorerError
        If there is no such file, or it cannot be used.
    """
    path = space_file.BUNDLED / space_file.DEVICES_FILE if file is None else file
    if not path.exists():
        raise ExplorerError(f"{path}: no such file")
    return load(path)


def named(name: str, file: Path | None = None) -> Device:
    """Return the device `name` of such a file; raise DeviceError where it has none, and as `entries` does."""
    found = entries(file)
    if name not in found:
        raise DeviceError(f"no device '{name}'{did_you_mean(name, found)}")
    return found[name]


def refuse_taken(path: Path, name: str) -> None:
    """Refuse a name that the file at `path` cannot have one more entry of.

    Raises
    ------
    SpaceError
        If it has such an entry, the name would need quotes in TOML, or there is no such folder.
    """
    if not re.fullmatch(r"[\w-]+", name, re.ASCII):
        raise SpaceError(f"'{name}' is no name for a device: letters, digits, - and _ are")
    if not path.parent.is_dir():
        raise SpaceError(f"{path}: no such folder")
    if path.exists() and name in TomlFile.read(path).content:
        raise SpaceError(f"{path}: there is a device '{name}' already, which stays as it is; choose another name")


def append(path: Path, name: str, entry: Mapping[str, Any]) -> None:
    """Append an entry to the devices file at `path`, which is made if there is none; see `refuse_taken` for errors."""
    refuse_taken(path, name)
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in entry.items())]
    with path.open("a", encoding="utf-8") as file:
        file.write("\n" * (bool(text) + (bool(text) and not text.endswith("\n"))) + "\n".join(lines) + "\n")


def _toml(value: object) -> str:
    """Return a text, number, list or table of them in TOML, on one line."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_toml(each)}' for key, each in value.items())} }}"
    return json.dumps(value, ensure_ascii=False)  # of these values JSON's form is TOML's
