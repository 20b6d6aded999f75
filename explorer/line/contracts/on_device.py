"""Parameters that the stages on a device share: the device's address, which the engine adds at execution."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from explorer.line.stage import OUTSIDE_KEY, Parameters


class Address(BaseModel):
    """The tracker and the key that a device is registered under."""

    model_config = ConfigDict(frozen=True)

    tracker: str
    key: str


NOWHERE = Address(tracker="", key="")


@dataclass(frozen=True)
class OnDevice(Parameters):
    """Parameters of a stage that runs on a device.

    Parameters
    ----------
    address
        Of the leased device.
    """

    address: Address = field(default=NOWHERE, kw_only=True, metadata=OUTSIDE_KEY)
