"""A trial of a workspace → what each layer of its network takes on its device, and why that is not less."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from explorer.core.errors import ExplorerError
from explorer.reading import DEFAULT_WORKSPACE

# Everything else is imported where it is used: `import explorer` and `dlas --help` answer at once.
if TYPE_CHECKING:
    from explorer.profiles.explanation import Explanation
    from explorer.profiles.profile import Profile
    from explorer.search.search import Observer


def profile(
    trial: int,
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    *,
    sessions: int = 3,
    space: Path | str | None = None,
    engine: str = "local",
    address: str | None = None,
    observer: Observer | None = None,
) -> dict[str, Profile]:
    """Time each program of a trial's compiled network on its device; return device → what each takes.

    The workspace keeps it: the same question is answered at once, and `OpenStudy.profiles` finds it.

    Parameters
    ----------
    trial
        Number of a complete trial of `study`, by default of the study that finished a trial last.
    sessions
        Quiet sessions to time it in.
    space, engine, address, observer
        As in `explorer.measure`.

    Raises
    ------
    ExplorerError
        If there is no such trial, or it cannot be profiled.
    """
    from explorer.inputs import external
    from explorer.profiles import taking
    from explorer.reading import open as opened
    from explorer.results.progress.live import observed
    from explorer.search import search
    from explorer.space.space import load
    from explorer.workspace import holding
    from explorer.workspace.workspace import Workspace

    if sessions < 1:
        raise ExplorerError(f"sessions {sessions} is below 1")
    with opened(workspace, study) as found:
        name = found.name
        row = found.trial(trial).row
        taking.refuse(row)
        if known := found.kept.profiles(trial, sessions):
            return known
        path = space or found.space_file
    where, place, searched = search.Where(engine, address), Workspace(Path(workspace)), load(path)
    if searched.name != name:
        raise ExplorerError(f"{searched.path} is the space of study '{searched.name}', not of '{name}'")
    taking.refuse_gpus(searched.devices, str(row["device"]).split("+"))
    with observed(observer, f"{name}: profile of trial {trial}") as told, holding.opened(place, told.note) as records:
        ((_, configuration, _),) = records.complete(name, [trial])
        inputs = external.find(searched, place)
        with search.engine_of(searched, place, records, inputs, told, where, configuration.devices) as running:
            taking.take(searched, records, running, trial, sessions)
    with opened(workspace, name) as found:
        return found.profiles(trial)


def explain(
    trial: int,
    base: int | str = "base",
    workspace: Path | str = DEFAULT_WORKSPACE,
    study: str | None = None,
    *,
    sessions: int = 3,
    space: Path | str | None = None,
    engine: str = "local",
    address: str | None = None,
    observer: Observer | None = None,
) -> list[Explanation]:
    """Return why a trial's network takes as long as it does, held against that of another trial, on each device.

    Both are profiled, unless they are already.

    Parameters
    ----------
    base
        Number of the other trial, or ``"base"``: the same stack without its compression.
    workspace, study, sessions, space, engine, address, observer
        As in `profile`.

    Raises
    ------
    ExplorerError
        If there is no such trial or base, or the two have no device in common.
    """
    from explorer.profiles.neighbours import base_of
    from explorer.reading import open as opened

    if isinstance(base, str) and base != "base":
        raise ExplorerError(f"'{base}' is no trial to compare with; allowed: the number of a trial, or 'base'")
    with opened(workspace, study) as found:
        found.trial(trial)  # refuses one that there is not
        other = base_of(found.frame, trial) if isinstance(base, str) else base
        name = found.name
    for number in (other, trial):
        profile(
            number,
            workspace,
            name,
            sessions=sessions,
            space=space,
            engine=engine,
            address=address,
            observer=observer,
        )
    with opened(workspace, name) as found:
        return found.kept.explanations(trial, other)
