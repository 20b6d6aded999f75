"""A study's trials and its store → the profiles that are kept, and what they say of one trial beside another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from explorer.core.errors import ExplorerError
from explorer.core.measurement.quantities import on_device
from explorer.profiles.explanation import Explanation, advised, explanation
from explorer.profiles.in_short import in_short
from explorer.profiles.neighbours import base_of
from explorer.profiles.profile import Profile, load
from explorer.profiles.taking import PROFILE_KEY
from explorer.workspace.store import Store

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Kept:
    """The profiles of a study.

    Parameters
    ----------
    frame
        One row per finished trial.
    space
        The search-space file of the study's latest run; "" where that is not on record.
    """

    frame: pd.DataFrame
    store: Store
    space: str

    def profiles(self, trial: int, sessions: int = 1) -> dict[str, Profile]:
        """Return device → the profile of a trial there, of those in at least so many `sessions`."""
        row, found = self._row(trial), {}
        for device in str(row["device"]).split("+"):
            key = row.get(on_device(PROFILE_KEY, device)) or row.get(PROFILE_KEY)
            artifact = self.store.find("profile", key) if isinstance(key, str) else None
            profile = load(artifact.path, device) if artifact else None
            if profile and profile.sessions >= sessions:
                found[device] = profile
        return found

    def explanations(self, trial: int, base: int) -> list[Explanation]:
        """Return why a trial's network takes as long as it does, held against that of `base`, on each common device.

        Raises
        ------
        ExplorerError
            If there is no device on which both are profiled.
        """
        own, other = self.profiles(trial), self.profiles(base)
        found = [explanation(own[device], other[device], trial, base) for device in own if device in other]
        if not found:
            raise ExplorerError(f"trials {trial} and {base} are not both profiled on one device")
        return [replace(each, advice=advised(each, self.frame, self.space)) for each in found]

    def why(self, trial: int) -> str:
        """Return in one sentence how a trial's latency compares with that of the same stack uncompressed, and why.

        Where both are profiled it has the cause, else the command that finds it; it is empty where nothing tells.
        """
        short = in_short(self.frame, trial)
        if not short:
            return ""
        base = base_of(self.frame, trial)
        own, other = self.profiles(trial), self.profiles(base)
        device = next((each for each in own if each in other), None)
        return explanation(own[device], other[device], trial, base).sentence if device else short

    def _row(self, trial: int) -> Mapping[Any, Any]:
        (row,) = self.frame[self.frame["number"] == trial].to_dict("records")
        return row
