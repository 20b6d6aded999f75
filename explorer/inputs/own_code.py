"""Space → code of the user's own that it names, as artifacts keyed by all that the code reads; a worker tries it."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import parts, takes_ratio
from explorer.core.errors import SpaceError, StageFailed
from explorer.inputs import own_reads, user_code
from explorer.inputs.own_reads import Answer, Asked
from explorer.inputs.user_code import Located
from explorer.line.task import LABELS
from explorer.processes.pool import Worker, temporary
from explorer.space.axes import Choice, Range
from explorer.space.space import Space
from explorer.workspace.workspace import Workspace

AXES = ("dataset", "model", "compression")  # that take code of the user's own, in the order that it is tried in
LOSS, METRIC = "loss", "metric"  # settings that do, and which are tried on what networks answer


class Looks(NamedTuple):
    """What images of a data set look like, and what their targets do.

    Parameters
    ----------
    classes, task, targets
        As in `explorer.line.task.Task`.
    shape
        Channels, height and width of an image.
    """

    classes: int
    shape: Sequence[int]
    task: str = LABELS
    targets: Sequence[int] = ()


UNKNOWN = Looks(10, (3, 32, 32))  # where nothing tells it


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
    """Yield kind and name of all that is code of the user's own."""
    for axis in AXES:
        for choice in map(str, space.axes[axis].choices):
            yield from ((axis, name) for name in parts(choice) if plugins.is_custom(name))
    for kind, name in ((LOSS, space.settings.train.loss), (METRIC, space.settings.evaluate.metric)):
        if plugins.is_custom(name):
            yield kind, name


class Found(NamedTuple):
    """Code of the user's own, and what was learned of data sets when it was tried.

    Parameters
    ----------
    code
        ``module:function`` → the folder that its module is imported from, keyed by all that it reads.
    looks
        Data set of the user's own → what its images look like, where it could be loaded.
    """

    code: dict[str, Artifact]
    looks: dict[str, Looks]


def find(
    space: Space, workspace: Workspace, roots: Mapping[str, Path], onnx: Mapping[str, Artifact], trying: Trying
) -> Found:
    """Return the code that `space` names.

    Parameters
    ----------
    roots
        Data set → the folder of its files.
    onnx
        Model that is an ONNX file → that file.

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
    made = Found({}, {})
    for kind, name in wanted:
        asked = Asked(kind, name, _roots(name, kind, located), _calls(kind, name, space, looks, roots, onnx))
        found, answer = own_reads.found(asked, located[name], stated, workspace, trying)
        made.code[name] = replace(found, values={**found.values, "function": name})
        if "shape" in answer:
            looks[name] = made.looks[name] = Looks(*(answer[field] for field in Looks._fields))
    return made


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
    """Return the folder of a function's module and, of one that is tried on models, theirs."""
    others = [str(each.root.absolute()) for each in located.values()] if kind not in ("dataset", "model") else []
    return list(dict.fromkeys((str(located[name].root.absolute()), *others)))


def _calls(
    kind: str,
    name: str,
    space: Space,
    looks: Mapping[str, Looks],
    roots: Mapping[str, Path],
    onnx: Mapping[str, Artifact],
) -> list[dict[str, object]]:
    """Return the arguments of every call that trials make of a function, without those that change nothing else."""
    if kind == "dataset":
        data = space.settings.data
        options = {each: getattr(data, each) for each in ("validation", "test", "seed", "image_size")}
        return [{"options": {**options, "root": str(roots[name])}}]
    if kind == "model":
        return [stack for stack in _stacks(space, looks) if stack.pop("model") == name]
    if kind in (LOSS, METRIC):
        judged = onnx if kind == METRIC else {}  # none of them is trained
        stacks = _stacks(space, looks, judged, with_targets=True)
        return list({str(stack["model"]): stack for stack in stacks}.values())
    stacks = list({str(stack["model"]): stack for stack in _stacks(space, looks)}.values())
    ratios = [number for choice in space.axes["ratio"].choices for number in _numbers(choice)] or [0.5]
    if not takes_ratio(name):
        return [{**stack, "ratio": None} for stack in stacks]
    return [{**stacks[0], "ratio": ratio} for ratio in ratios] + [{**stack, "ratio": ratios[0]} for stack in stacks[1:]]


def _stacks(
    space: Space, looks: Mapping[str, Looks], onnx: Mapping[str, Artifact] | None = None, with_targets: bool = False
) -> list[dict[str, object]]:
    """Return each model with each width, and each kind of images, that the space has it with; ONNX files if given."""
    found: dict[object, dict[str, object]] = {}
    for dataset, of_dataset in space.tree.children.items():
        own = looks[str(dataset)]
        given = {"classes": own.classes, "shape": list(own.shape)}
        if with_targets:
            given |= {"task": own.task, "targets": list(own.targets)}
        for model, of_model in of_dataset.children.items():
            file = (onnx or {}).get(str(model))
            if file is None and plugins.is_onnx(str(model)):
                continue
            for width in (number for choice in of_model.children for number in _numbers(choice)):
                stack = {"model": str(model), "width": width, **given, **({"network": str(file.path)} if file else {})}
                found[str(stack)] = stack
    return list(found.values())


def _numbers(choice: Choice) -> list[float]:
    if isinstance(choice, Range):
        return [choice.low, choice.high]
    return [choice] if isinstance(choice, int | float) else []


def _looks(dataset: str, space: Space, root: Path) -> Looks:
    """Return how many classes the images of a bundled data set are of, and their shape."""
    if (known := plugins.literal("dataset", dataset, "LOOKS")) is not None:
        return Looks(*known)
    if plugins.is_custom(dataset):
        return UNKNOWN
    side = space.settings.data.image_size
    return Looks(max(2, sum(path.is_dir() for path in root.glob("train/*"))), (3, side, side))
