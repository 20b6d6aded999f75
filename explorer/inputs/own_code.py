"""Space → code of the user's own that it names, as artifacts keyed by all that the code reads; a worker tries it."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import parts, takes_ratio
from explorer.core.errors import SpaceError, StageFailed
from explorer.inputs import own_reads, user_code
from explorer.inputs.own_reads import Answer, Asked
from explorer.inputs.user_code import Located
from explorer.processes.pool import Worker, temporary
from explorer.space.axes import Choice, Range
from explorer.space.space import Space
from explorer.workspace.workspace import Workspace

KINDS = ("dataset", "model", "compression")  # axes that take code of the user's own, in the order that it is tried in
UNKNOWN = (10, (3, 32, 32))  # classes and shape of images, where nothing tells them

Looks = tuple[int, tuple[int, ...]]  # how many classes images are of, and their shape


class Trying(contextlib.ExitStack):
    """Tries code of the user's own in a worker, which the first call starts.

    Attributes
    ----------
    tried : names of what was tried
    """

    def __init__(self, space: Space, workspace: Workspace) -> None:
        super().__init__()
        self.tried: set[str] = set()
        self._space, self._logs = space, workspace.logs
        self._worker: Worker | None = None

    def __call__(self, asked: Asked) -> Answer:
        """Return what the worker says of it.

        Raises
        ------
        SpaceError
            If the code cannot be used.
        """
        if self._worker is None:
            self._worker = self.enter_context(temporary("torch", "check", self._logs))
        call = {"call": "explorer.line.training.own_reads:tried", "arguments": asked.arguments}
        try:
            answer: dict[str, Any] = self._worker.request(call)
        except StageFailed as failed:
            answer = {"wrong": f"'{asked.name}' cannot be tried: {failed.failure.message}"}
        if wrong := answer.get("wrong"):
            raise SpaceError(f"{self._space.path}: {asked.kind}: {wrong}")
        self.tried.add(asked.name)
        return answer

    def __enter__(self) -> Self:
        return self


def named(space: Space) -> Iterator[tuple[str, str]]:
    """Yield axis and name of every choice that is code of the user's own."""
    for axis in KINDS:
        for choice in map(str, space.axes[axis].choices):
            yield from ((axis, name) for name in parts(choice) if plugins.is_custom(name))


def find(space: Space, workspace: Workspace, roots: Mapping[str, Path], trying: Trying) -> dict[str, Artifact]:
    """Return the code that `space` names: the folder of each ``module:function``, keyed by all that it reads.

    Parameters
    ----------
    roots
        Data set → the folder of its files.

    Raises
    ------
    SpaceError
        If there is no such code, or it cannot be used.
    """
    wanted = list(dict.fromkeys(named(space)))
    folders = (space.path.parent, Path.cwd())
    located = {name: user_code.locate(name, folders) for _, name in wanted}
    _refuse_namesakes(located)
    stated = _stated(space)
    looks = {name: _looks(name, space, root) for name, root in roots.items()}
    code: dict[str, Artifact] = {}
    for kind, name in wanted:
        asked = Asked(kind, name, _roots(name, kind, located), _calls(kind, name, space, looks, roots))
        code[name], answer = own_reads.found(asked, located[name], stated, workspace, trying)
        if "shape" in answer:
            looks[name] = answer["classes"], tuple(answer["shape"])
    return code


def _refuse_namesakes(located: Mapping[str, Located]) -> None:
    """Refuse modules of one name in different folders: a process imports one of them alone.

    Raises
    ------
    SpaceError
        If there are any.
    """
    seen: dict[str, Path] = {}
    for found in located.values():
        for path in sorted(found.files):
            top = path.relative_to(found.root).parts[0].partition(".")[0]
            other = seen.setdefault(top, found.root)
            if other != found.root:
                raise SpaceError(f"{other / top} and {found.root / top} are modules of one name; rename one of them")


def _stated(space: Space) -> list[Path]:
    """Return the files that ``[own] files`` names.

    Raises
    ------
    SpaceError
        If a pattern matches none.
    """
    found: list[Path] = []
    for pattern in space.settings.own.files:
        folder = space.path.absolute().parent
        matches = [folder / path for path in glob.glob(pattern, root_dir=folder, recursive=True)]
        files = [each for path in matches for each in (path.rglob("*") if path.is_dir() else (path,)) if each.is_file()]
        if not files:
            raise SpaceError(f"{space.path}: [own] files has '{pattern}', which no file in {folder} matches")
        found += files
    return found


def _roots(name: str, kind: str, located: Mapping[str, Located]) -> list[str]:
    """Return the folder of a function's module and, for a compression, those of the models that it is tried on."""
    others = [str(each.root.absolute()) for each in located.values()] if kind == "compression" else []
    return list(dict.fromkeys((str(located[name].root.absolute()), *others)))


def _calls(
    kind: str, name: str, space: Space, looks: Mapping[str, Looks], roots: Mapping[str, Path]
) -> list[dict[str, object]]:
    """Return the arguments of every call that trials make of a function, without those that change nothing else."""
    if kind == "dataset":
        data = space.settings.data
        options = {each: getattr(data, each) for each in ("validation", "test", "seed", "image_size")}
        return [{"options": {**options, "root": str(roots[name])}}]
    if kind == "model":
        return [stack for stack in _stacks(space, looks) if stack.pop("model") == name]
    stacks = list({str(stack["model"]): stack for stack in _stacks(space, looks)}.values())
    ratios = [number for choice in space.axes["ratio"].choices for number in _numbers(choice)] or [0.5]
    if not takes_ratio(name):
        return [{**stack, "ratio": None} for stack in stacks]
    return [{**stacks[0], "ratio": ratio} for ratio in ratios] + [{**stack, "ratio": ratios[0]} for stack in stacks[1:]]


def _stacks(space: Space, looks: Mapping[str, Looks]) -> list[dict[str, object]]:
    """Return each model with each width, and each kind of images, that the space has it with."""
    found: dict[object, dict[str, object]] = {}
    for dataset, of_dataset in space.tree.children.items():
        classes, shape = looks[str(dataset)]
        for model, of_model in of_dataset.children.items():
            if plugins.is_onnx(str(model)):
                continue
            for width in (number for choice in of_model.children for number in _numbers(choice)):
                stack = {"model": str(model), "width": width, "classes": classes, "shape": list(shape)}
                found[str(stack)] = stack
    return list(found.values())


def _numbers(choice: Choice) -> list[float]:
    if isinstance(choice, Range):
        return [choice.low, choice.high]
    return [choice] if isinstance(choice, int | float) else []


def _looks(dataset: str, space: Space, root: Path) -> Looks:
    """Return how many classes the images of a bundled data set are of, and their shape."""
    if (known := plugins.literal("dataset", dataset, "LOOKS")) is not None:
        classes, shape = known
        return classes, shape
    if plugins.is_custom(dataset):
        return UNKNOWN
    side = space.settings.data.image_size
    return max(2, sum(path.is_dir() for path in root.glob("train/*"))), (3, side, side)
