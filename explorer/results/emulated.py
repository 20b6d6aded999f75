"""Finished trials → the devices that are emulated, and the trials whose latencies may stand beside one another.

A measurement carries the mark, so that it stays on record whatever becomes of the devices file.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from explorer.core.configuration import parts
from explorer.core.errors import ExplorerError
from explorer.core.measurement.quantities import Quantity
from explorer.core.measurement.sessions import EMULATED

if TYPE_CHECKING:
    import pandas as pd


def emulated_devices(frame: pd.DataFrame) -> frozenset[str]:
    """Return the names of the emulated devices that trials were measured on, and of joined ones that hold such."""
    found = set[str]()
    for column in frame.columns:
        quantity = Quantity.parse(str(column))
        if quantity.name == EMULATED and (marked := frame[column].eq(True)).any():
            found |= {quantity.device} if quantity.device else set(frame.loc[marked, "device"])
    return frozenset(found)


def without_emulated(frame: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """Return the rows of trials on other devices than those of the emulated ones' `names`."""
    return frame[~frame["device"].isin(names)] if names else frame


def only_one(devices: Collection[str], names: Collection[str]) -> str:
    """Return the one device of `devices` that is not emulated.

    Raises
    ------
    ExplorerError
        If there are several such devices, or none.
    """
    real = [device for device in devices if device not in names]
    if len(real) == 1:
        return real[0]
    if not real:
        raise ExplorerError(
            f"the study was measured on emulated devices alone: {', '.join(devices)}; name one with --device"
        )
    raise ExplorerError(f"the study has several devices: {', '.join(devices)}; choose one with --device")


def refuse_mixed(device: str, names: Collection[str]) -> None:
    """Refuse to judge by emulated and real latencies at once.

    Raises
    ------
    ExplorerError
        If `device` joins emulated devices and others.
    """
    joined = parts(device)
    emulated = [name for name in joined if name in names]
    if emulated and len(emulated) < len(joined):
        raise ExplorerError(
            f"device {device} joins real devices and emulated ones ({', '.join(emulated)}), whose latencies say "
            "nothing beside the others; ask for all with --emulated"
        )


def refuse_comparison(device: str | None, devices: Collection[str], names: Collection[str]) -> None:
    """Refuse to compare real devices where `device` is emulated, or too few of `devices` are left.

    Raises
    ------
    ExplorerError
        If so.
    """
    if device in names:
        raise ExplorerError(f"device '{device}' is emulated, and left out of comparisons; ask for it with --emulated")
    real = [name for name in devices if name not in names]
    if names and len(real) < 2:
        raise ExplorerError(
            f"a comparison needs two devices, and without the emulated ones ({', '.join(sorted(names))}) the study has "
            f"{real[0] if real else 'none'}; ask for them with --emulated"
        )
