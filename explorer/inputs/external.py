"""Space → the files and code that its trials take from outside of the line, as artifacts keyed by their contents.

These are the files of data sets, initial weights, ONNX files, and code of the user's own. The explorer looks at all of
them before it computes anything.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration, digest, parts
from explorer.core.errors import SpaceError, StageFailed
from explorer.datasets import Options
from explorer.datasets._geometry import of_files
from explorer.inputs import initial_weights, onnx_files, own_code, wanted_images
from explorer.inputs.dataset_files import has_files, source
from explorer.inputs.initial_weights import Start
from explorer.inputs.own_code import Looks, Trying
from explorer.inputs.own_reads import Asked
from explorer.processes.pool import temporary
from explorer.space.space import Space
from explorer.workspace.workspace import Workspace


@dataclass(frozen=True)
class ExternalInputs:
    """The artifacts that no stage makes.

    Parameters
    ----------
    datasets
        Data set's name → the folder of its files; the key of one without files is the digest of nothing.
    weights
        Data set, model and width → the checkpoint that training starts from; empty where it starts at random.
    code
        ``module:function`` → the folder that its module is imported from; a library's model → the library's version.
    tried
        Those of the code that were imported and called just now.
    wanted
        Data set, model and width → what the checkpoint asks of images.
    loss, metric
        ``[train] loss`` and ``[evaluate] metric``.
    onnx
        ``onnx:path`` → that file.
    looks
        Data set of the user's own → what its images look like, where it could be loaded.
    """

    datasets: Mapping[str, Artifact]
    weights: Mapping[Start, Artifact]
    code: Mapping[str, Artifact]
    tried: frozenset[str] = frozenset()
    wanted: Mapping[Start, Artifact] = field(default_factory=dict)
    onnx: Mapping[str, Artifact] = field(default_factory=dict)
    loss: str = ""
    metric: str = ""
    looks: Mapping[str, Looks] = field(default_factory=dict)

    def parents(self, c: Configuration) -> dict[str, dict[str, Artifact]]:
        """Return for each stage of `c` that has such parents their names and artifacts."""
        onnx = plugins.is_onnx(c.model)
        model = {"network": self.onnx[c.model]} if onnx else self._code(c.model, self.loss)
        metric = {"metric": self.code[self.metric]} if self.metric else {}
        start = self.weights.get((c.dataset, c.model, c.width))
        wanted = self.wanted.get((c.dataset, c.model, c.width))
        return {
            "data": {
                "source": self.datasets[c.dataset],
                **({"wanted": wanted} if wanted else {}),
                **self._code(c.dataset),
            },
            "train": {**model, **metric, **({"weights": start} if start else {})},
            "compress": {**model, **self._code(*parts(c.compression))},
            "score": self._code(self.metric),
        }

    def digests(self) -> dict[str, str]:
        """Return everything but the space that a study's answers depend on: description → digest of the contents."""
        files = {name: found for name, found in self.datasets.items() if has_files(name)}
        weights = {f"{model} x{width:g} on {dataset}": found for (dataset, model, width), found in self.weights.items()}
        named = {"files of data set": files, "weights of": weights, "code of": self.code, "file of": self.onnx}
        return {f"{kind} {name}": found.key for kind, all_ in named.items() for name, found in all_.items()}

    def _code(self, *names: str) -> dict[str, Artifact]:
        kinds = {name: "library" if plugins.of_library(name) else "code" for name in names if name in self.code}
        return {f"{kind} of {name}": self.code[name] for name, kind in kinds.items()}


def find(space: Space, workspace: Workspace) -> ExternalInputs:
    """Return everything that the trials of `space` take from outside; data sets that are missing are downloaded.

    Raises
    ------
    SpaceError
        If something is not where it should be.
    """
    datasets = {str(name): source(str(name), space.settings.data, workspace) for name in space.axes["dataset"].choices}
    settings, onnx = space.settings, onnx_files.find(space, workspace)
    with Trying(space, workspace) as trying:
        code, looks = own_code.find(
            space, workspace, {name: found.path for name, found in datasets.items()}, onnx, trying
        )
    code |= {name: _library(name) for name in _of_libraries(space)}
    weights = initial_weights.find(space, workspace)
    wanted = wanted_images.find(space, weights, workspace)
    judged = settings.train.loss, settings.evaluate.metric
    return ExternalInputs(datasets, weights, code, frozenset(trying.tried), wanted, onnx, *judged, looks)


def check(space: Space, external: ExternalInputs, workspace: Workspace) -> None:
    """Import the code unless it was tried just now, read the weights and look at the data sets' folders, in a worker.

    This process loads neither torch nor TVM.

    Raises
    ------
    SpaceError
        If code cannot be imported, a function is missing or cannot be called as the explorer does, a library has no
        such network, a file holds no weights, an ONNX file no network for the data sets, a data set's folders are
        not those of its classes, or settings of ``[data]`` contradict each other.
    """
    for name in filter(_scales, external.datasets):
        _check_geometry(space, name)
    calls: list[tuple[str, str, dict[str, str]]] = [
        (f"data set {name}: ", f"explorer.datasets.{name}:check", {"root": str(found.path)})
        for name, found in external.datasets.items()
        if plugins.literal("dataset", name, "CHECKS", default=False)
    ]
    calls += [("", "explorer.models._libraries:check", {"model": name}) for name in _of_libraries(space)]
    paths = dict.fromkeys(str(found.path) for found in external.weights.values())
    calls += [("[train] weights: ", "explorer.line.training.initial.weights:check", {"path": path}) for path in paths]
    with Trying(space, workspace) as trying:
        for kind, name in dict.fromkeys(own_code.named(space)):
            if name not in external.tried:
                trying(Asked(kind, name, [str(external.code[name].path)], []))
    onnx_files.check(space, external.onnx, external.datasets, external.looks, workspace)
    if not calls:
        return
    with temporary("torch", "check", workspace.logs) as worker:
        for subject, call, arguments in calls:
            try:
                message = worker.request({"call": call, "arguments": arguments})
            except StageFailed as failed:
                message = f"{call} failed: {failed.failure.message}"
            if message:
                raise SpaceError(f"{space.path}: {subject}{message}")


def _scales(dataset: str) -> bool:
    return bool(plugins.literal("dataset", dataset, "SCALES", default=False))


def _check_geometry(space: Space, dataset: str) -> None:
    given = space.settings.data
    try:
        of_files(Options(image_size=given.image_size, resize=given.resize, crop=given.crop))
    except StageFailed as failed:
        raise SpaceError(f"{space.path}: data set {dataset}: {failed.failure.message}") from None


def _of_libraries(space: Space) -> list[str]:
    """Return the models that are a library's."""
    return [name for name in map(str, space.axes["model"].choices) if plugins.of_library(name)]


def _library(model: str) -> Artifact:
    """Return the version of the library that `model` is a network of, as an artifact without files."""
    library = str(plugins.of_library(model))
    try:
        version = importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        raise SpaceError(f"model {model} needs the package {library}: pip install {library}") from None
    return Artifact("library", digest([library, version]), Path())
