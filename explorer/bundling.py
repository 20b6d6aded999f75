"""A complete trial → a bundle to deploy; a bundle → whether it computes what it should on a device, and how fast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from explorer.core.errors import ExplorerError
from explorer.reading import DEFAULT_WORKSPACE

# Everything else is imported where it is used: `import explorer` and `dlas --help` answer at once.
if TYPE_CHECKING:
    from explorer.bundles.manifest import Manifest
    from explorer.bundles.verdict import Verdict

SESSIONS = 3


def bundle(
    trial: int,
    out: Path | str,
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    space: Path | str | None = None,
) -> Manifest:
    """Write the network of a complete trial, with all that is needed to run it, into a folder; return its manifest.

    Parameters
    ----------
    trial
        Number of a complete trial of `study`, by default of the study that finished a trial last.
    out
        The folder, which must not exist yet, or be empty.
    space
        The search-space file; the one of the study's latest run unless given. It says how far outputs may lie off.

    Raises
    ------
    ExplorerError
        If there is no such trial, it is not complete, or an artifact of it is gone.
    """
    from explorer.bundles.making import make
    from explorer.reading import open as opened
    from explorer.space.space import load

    with opened(workspace, study) as found:
        searched = load(space or found.space_file, to_run=False)
        if searched.name != found.name:
            raise ExplorerError(f"{searched.path} is the space of study '{searched.name}', not of '{found.name}'")
        return make(found, trial, Path(out), searched.settings.measure)


def verify(
    folder: Path | str, device: str | None = None, devices_file: Path | str | None = None, sessions: int = SESSIONS
) -> Verdict:
    """Run a bundle on a device; return whether its outputs are the expected ones, and its latency beside the recorded.

    Parameters
    ----------
    device
        Name of an entry of `devices_file`; this machine unless given.
    devices_file
        The bundled one unless given.
    sessions
        That the latency is taken in, at least 1.

    Raises
    ------
    ExplorerError
        If the folder is no bundle, a file of it is not what was written, there is no such entry, the bundle does not
        run there, or the device does not answer.
    """
    from explorer.bundles.verifying import verify as verified
    from explorer.space.devices import named

    if sessions < 1:
        raise ExplorerError(f"sessions {sessions} is below 1")
    own = None if device is None else named(device, None if devices_file is None else Path(devices_file))
    return verified(Path(folder), own, sessions)
