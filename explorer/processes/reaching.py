"""Entry of the devices file → the tracker that the device is reached at, and a folder for logs meanwhile."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from explorer.core.errors import DeviceError
from explorer.processes import loopback
from explorer.space.devices import Device


@contextlib.contextmanager
def reached(device: Device, logs: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Give the tracker of a device, which is started for a loopback device, and the cores of the latter."""
    if not device.is_loopback:
        yield device.address, ()
        return
    cores = loopback.cores_of(device.name, device.cores)
    with loopback.server(device.key, cores, logs / f"device-{device.name}.log") as tracker:
        yield tracker, cores


@contextlib.contextmanager
def logs(prefix: str) -> Iterator[Path]:
    """Give a folder for logs, whose name begins with `prefix` and which stays where an error names it."""
    folder, named = Path(tempfile.mkdtemp(prefix=prefix)), False
    try:
        yield folder
    except DeviceError as error:
        named = str(folder) in str(error)
        raise
    finally:
        if not named:
            shutil.rmtree(folder)
