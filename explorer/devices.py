"""A devices file → its devices, what of one of them answers, and one more entry by what a device says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.core.errors import DeviceError, StageFailed, did_you_mean

# Everything else is imported where it is used: `import explorer` and `dlas --help` answer at once.
if TYPE_CHECKING:
    from explorer.line.probing.answers import Answers
    from explorer.space.devices import Device

DEVICES_FILE = "devices.toml"  # in the folder of the search spaces
CHECK_SECONDS = 180  # until a device that says nothing is given up


def devices(file: Path | str | None = None) -> dict[str, Device]:
    """Return the entries of a devices file by name, by default those of the bundled one; nothing is run.

    Raises
    ------
    ExplorerError
        If there is no such file, or it cannot be used.
    """
    from explorer.space.devices import entries

    return entries(None if file is None else Path(file))


def check_device(name: str, file: Path | str | None = None) -> Answers:
    """Return what of a device answers, what it says of itself, and what it can do at most; it takes some seconds.

    A device that cannot be measured on is no error here: the answer's ``refusal`` says why, and what to type next.

    Parameters
    ----------
    name
        Of an entry of the devices file. A loopback device is served meanwhile.
    file
        The devices file, the bundled one unless given.

    Raises
    ------
    ExplorerError
        If there is no such entry, or the device stops answering in the middle of the check.
    """
    from explorer.line.probing.answers import Answers
    from explorer.processes import reaching
    from explorer.space.devices import named

    device = named(name, None if file is None else Path(file))
    with reaching.logs("dlas-check-") as logs, reaching.reached(device, logs) as (tracker, cores):
        asked = {"tracker": tracker, "key": device.key, "target": device.target, "device": name, "cores": list(cores)}
        return replace(Answers.from_json(_answer("check:check", asked, logs)), emulated=device.emulated)


def add_device(
    name: str,
    tracker: str,
    key: str | None = None,
    file: Path | str = DEVICES_FILE,
    kind: str = "llvm",
    ssh: str = "",
) -> Device:
    """Append an entry to a devices file, with the target that the device itself says, and return it.

    Parameters
    ----------
    name
        Of the entry, which the file must not have yet.
    tracker
        ``"host:port"`` of the tracker that the device is registered with.
    key
        Under which it is registered; the name unless given.
    file
        The devices file, which is made if there is none.
    kind
        Of the target: ``"llvm"``, the device's processor, or ``"opencl"`` or ``"cuda"``, its first GPU of that kind.
    ssh
        ``"user@host"`` of the machine where the tracker has that address; "" where it is reached from here.

    Raises
    ------
    ExplorerError
        If the file has such an entry, or the device does not answer, does not say what it is, or has no such GPU.
    """
    from explorer.processes import reaching
    from explorer.space.devices import TARGET_KINDS, Device, append, is_address, is_destination, load, refuse_taken

    path = Path(file)
    if not is_address(tracker):
        raise DeviceError(f"tracker '{tracker}' is not 'host:port'")
    if ssh and not is_destination(ssh):
        raise DeviceError(f"ssh '{ssh}' is neither 'user@host' nor a host that ssh knows")
    if kind not in TARGET_KINDS:
        raise DeviceError(f"unknown kind '{kind}' of a target{did_you_mean(kind, TARGET_KINDS)}")
    refuse_taken(path, name)
    asked = Device(name=name, tracker=tracker, ssh=ssh, key=key or name)
    with reaching.logs("dlas-check-") as logs:
        target = _answer("entry:target", {"tracker": asked.address, "key": asked.key, "kind": kind}, logs)
    given = {"ssh": ssh, "key": key}
    append(path, name, {"tracker": tracker, **{k: value for k, value in given.items() if value}, "target": target})
    return load(path)[name]


def _answer(function: str, arguments: Mapping[str, Any], logs: Path) -> Any:
    """Return what a function of `explorer.line.probing` answers in a worker for TVM."""
    from explorer.processes import pool

    request = {"call": f"explorer.line.probing.{function}", "arguments": arguments}
    with pool.temporary("tvm", "check", logs) as worker:
        try:
            return worker.request(request, CHECK_SECONDS)
        except StageFailed as failed:
            if failed.failure.kind == "device":
                raise DeviceError(failed.failure.message) from failed
            message = f"device '{arguments['key']}' at {arguments['tracker']} stops answering: {failed.failure.message}"
            raise DeviceError(f"{message}; the logs are in {logs}") from failed
