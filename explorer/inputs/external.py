"""Space → the files and code that its trials take from outside of the line, as artifacts keyed by their contents.

These are the files of data sets, initial weights, ONNX files, and code of the user's own. The explorer looks at all of
them before it computes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration, parts
from explorer.core.errors import SpaceError, StageFailed
from explorer.inputs import initial_weights, onnx_files, own_code
from explorer.inputs.dataset_files import has_files, source
from explorer.inputs.initial_weights import Start
from explorer.inputs.own_code import Trying
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
        ``module:function`` → the folder that its module is imported from.
    tried
        Those of the code that were imported and called just now.
    onnx
        ``onnx:path`` → that file.
    """

    datasets: Mapping[str, Artifact]
    weights: Mapping[Start, Artifact]
    code: Mapping[str, Artifact]
    tried: frozenset[str] = frozenset()
    onnx: Mapping[str, Artifact] = field(default_factory=dict)

    def parents(self, c: Configuration) -> dict[str, dict[str, Artifact]]:
        """Return for each stage of `c` that has such parents their names and artifacts."""
        model = {"network": self.onnx[c.model]} if plugins.is_onnx(c.model) else self._code(c.model)
        start = self.weights.get((c.dataset, c.model, c.width))
        return {
            "data": {"source": self.datasets[c.dataset], **self._code(c.dataset)},
            "train": {**model, **({"weights": start} if start else {})},
            "compress": {**model, **self._code(*parts(c.compression))},
        }

    def digests(self) -> dict[str, str]:
        """Return everything but the space that a study's answers depend on: description → digest of the contents."""
        files = {name: found for name, found in self.datasets.items() if has_files(name)}
        weights = {f"{model} x{width:g} on {dataset}": found for (dataset, model, width), found in self.weights.items()}
        named = {"files of data set": files, "weights of": weights, "code of": self.code, "file of": self.onnx}
        return {f"{kind} {name}": found.key for kind, all_ in named.items() for name, found in all_.items()}

    def _code(self, *names: str) -> dict[str, Artifact]:
        return {f"code of {name}": self.code[name] for name in names if plugins.is_custom(name)}


def find(space: Space, workspace: Workspace) -> ExternalInputs:
    """Return everything that the trials of `space` take from outside; data sets that are missing are downloaded.

    Raises
    ------
    SpaceError
        If something is not where it should be.
    """
    datasets = {str(name): source(str(name), space.settings.data, workspace) for name in space.axes["dataset"].choices}
    with Trying(space, workspace) as trying:
        code = own_code.find(space, workspace, {name: found.path for name, found in datasets.items()}, trying)
    weights, onnx = initial_weights.find(space, workspace), onnx_files.find(space, workspace)
    return ExternalInputs(datasets, weights, code, frozenset(trying.tried), onnx)


def check(space: Space, external: ExternalInputs, workspace: Workspace) -> None:
    """Import the code unless it was tried just now, read the weights and look at the data sets' folders, in a worker.

    This process loads neither torch nor TVM.

    Raises
    ------
    SpaceError
        If code cannot be imported, a function is missing or cannot be called as the explorer does, a file holds no
        weights, an ONNX file no network for the data sets, or a data set's folders are not those of its classes.
    """
    calls: list[tuple[str, str, dict[str, str]]] = [
        (f"data set {name}: ", f"explorer.datasets.{name}:check", {"root": str(found.path)})
        for name, found in external.datasets.items()
        if plugins.literal("dataset", name, "CHECKS", default=False)
    ]
    paths = dict.fromkeys(str(found.path) for found in external.weights.values())
    calls += [("[train] weights: ", "explorer.line.training.weights:check", {"path": path}) for path in paths]
    with Trying(space, workspace) as trying:
        for kind, name in dict.fromkeys(own_code.named(space)):
            if name not in external.tried:
                trying(Asked(kind, name, [str(external.code[name].path)], []))
    onnx_files.check(space, external.onnx, external.datasets, workspace)
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
