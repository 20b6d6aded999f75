"""Parameters that the stages on a device share: the device's address, which the engine adds at execution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict

from explorer.core.measurement.sessions import Readings
from explorer.line.stage import LEFT_OUT_IF_NONE, OUTSIDE_KEY, Parameters


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
    identity
        Key of the device's `explorer.core.identity.Identity`; None where no device is asked.
    """

    identity: str | None = field(default=None, kw_only=True, metadata=LEFT_OUT_IF_NONE)
    address: Address = field(default=NOWHERE, kw_only=True, metadata=OUTSIDE_KEY)


@dataclass(frozen=True)
class InSessions(OnDevice):
    """The protocol that libraries are sampled by; see `explorer.core.settings.MeasureSettings`.

    Parameters
    ----------
    usual
        What is known of the control on the device; see `explorer.core.measurement.sessions.usual`.
    patience
        Seconds for which to wait until the control is quiet, before the first sample.
    linked
        The folder of shared libraries, which first sessions write, for a device that reads this machine's files; "" for
        one elsewhere.
    cores
        Those of the device that its threads are bound to, one each; empty where that is left to the device.
    """

    threads: int
    samples: int
    sample_ms: float
    warmup_ms: float
    usual: Sequence[float | None] = field(default=Readings(), kw_only=True, metadata=OUTSIDE_KEY)
    patience: float = field(default=0.0, kw_only=True, metadata=OUTSIDE_KEY)
    linked: str = field(default="", kw_only=True, metadata=OUTSIDE_KEY)
    cores: Sequence[int] = field(default=(), kw_only=True, metadata=OUTSIDE_KEY)
