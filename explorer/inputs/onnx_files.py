"""``model = "onnx:path"`` → the ONNX file as an artifact, keyed by its contents and those of its weights beside it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.errors import ExplorerError, SpaceError, StageFailed
from explorer.core.files.digests import digest_of_file, digest_of_files
from explorer.datasets._folders import survey
from explorer.inputs.own_code import Looks
from explorer.processes.pool import temporary
from explorer.space.space import Space
from explorer.workspace.workspace import Workspace


def find(space: Space, workspace: Workspace) -> dict[str, Artifact]:
    """Return the file of every model of `space` that is one, by the model's name; nothing in it is checked.

    Raises
    ------
    SpaceError
        If there is no such file beside the space.
    """
    names = [name for name in map(str, space.axes["model"].choices) if plugins.is_onnx(name)]
    return {name: _artifact(_path(name, space), workspace) for name in names}


def check(
    space: Space,
    files: Mapping[str, Artifact],
    datasets: Mapping[str, Artifact],
    own: Mapping[str, Looks],
    workspace: Workspace,
) -> None:
    """Let a worker look at the networks in `files`, and at whether they take the images of `datasets`.

    Parameters
    ----------
    own
        What images of data sets of the user's own look like.

    Raises
    ------
    SpaceError
        If one cannot come down the line.
    """
    if not files:
        return
    found = {name: _looks(name, own.get(name), space, files_of.path) for name, files_of in datasets.items()}
    looks = {name: known._asdict() for name, known in found.items() if known}
    with temporary("tvm", "check", workspace.logs) as worker:
        for model, file in files.items():
            arguments = {"path": str(file.path), "looks": looks}
            try:
                message = worker.request({"call": "explorer.line.adopting.check:why_not", "arguments": arguments})
            except StageFailed as failed:
                message = f"cannot be looked at: {failed.failure.message}"
            if message:
                raise SpaceError(f"{space.path}: model {model}: {message}")


def _looks(dataset: str, own: Looks | None, space: Space, root: Path) -> Looks | None:
    """Return what the images of a data set look like; None where only loading it tells."""
    given, stated = space.settings.data, plugins.literal("dataset", dataset, "LOOKS")
    if known := own or (Looks(*stated) if stated else None):  # of one size, which both settings change
        return known if given.resize is None and given.crop is None else None
    if not (splits := plugins.literal("dataset", dataset, "IMAGES")):
        return None
    classes = len(survey(root, splits).images[splits[0]])
    return Looks(classes, (3, given.image_size, given.image_size))


def _path(model: str, space: Space) -> Path:
    """Return where the file lies; from the space's folder or, as code's may, from this process's."""
    name = model.removeprefix(plugins.ONNX)
    places = [folder / name for folder in (space.path.parent, Path.cwd())]
    found = next((path.absolute() for path in places if path.is_file()), None)
    if found is not None:
        return found
    near = difflib.get_close_matches(places[0].name, [other.name for other in places[0].parent.glob("*.onnx")], n=1)
    hint = f"; did you mean '{near[0]}'?" if near else "; its path starts from the folder of the search space"
    raise SpaceError(f"{space.path}: model {model}: there is no file {places[0]}{hint}")


def _artifact(path: Path, workspace: Workspace) -> Artifact:
    beside = [name for name in _beside(path) if (path.parent / name).is_file()]
    if not beside:
        return Artifact("onnx", digest_of_file(path, workspace.digests), path)
    return Artifact("onnx", digest_of_files(path.parent, [path.name, *beside], workspace.digests), path)


def _beside(path: Path) -> list[str]:
    """Return the names of the files that hold weights of the network; none of a file that is no ONNX."""
    from explorer.line.adopting import reading  # onnx, which only spaces with such models need

    try:
        return reading.files_beside(reading.parsed(path))
    except ExplorerError:
        return []
