"""A function of the user's own, called as trials will → what is wrong with it, and the files that it reads.

Each is tried in a process forked off the worker, so that whatever it does to a process is gone afterwards.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from explorer.compression import compressor
from explorer.core import own_modules, plugins
from explorer.core.files import reads
from explorer.datasets import Options, loader
from explorer.line.checking import targets
from explorer.line.checking.metric import Judge
from explorer.line.checking.splits import checked
from explorer.line.task import NUMBERS, Task, kind_of
from explorer.line.training.losses import Loss
from explorer.models import builder

PR_SET_PDEATHSIG = 1  # of prctl(2): the signal that ends a process with the one that forked it

Answer = dict[str, Any]


def tried(kind: str, name: str, folders: Sequence[str], calls: Sequence[Mapping[str, Any]]) -> Answer:
    """Import ``module:function`` and make `calls`, whose errors do not matter here.

    Parameters
    ----------
    folders
        That the module and others which the calls need are imported from.
    calls
        The arguments of one of the functions in `CALLS` but for the name.

    Returns
    -------
    ``{"wrong": sentence}``, or ``{"files": [...], "folders": [...]}``, the absolute paths of what was read and listed,
    and of a data set that could be loaded ``"classes"``, ``"shape"``, ``"task"`` and ``"targets"``, too.
    """
    read, write = os.pipe()
    if not (process := os.fork()):
        os.close(read)
        _answer(write, kind, name, folders, calls)
    os.close(write)
    with os.fdopen(read, "rb") as stream:
        answer = stream.readline()
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if answer:
        return dict(json.loads(answer))
    how = f"with exit code {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
    module = name.partition(":")[0]
    return {"wrong": f"'{module}' of '{name}', in {folders[0]}, ended the process {how} when it was tried"}


def _answer(write: int, kind: str, name: str, folders: Sequence[str], calls: Sequence[Mapping[str, Any]]) -> NoReturn:
    """Be the forked process."""
    code = 1
    try:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        answer = _try(kind, name, folders, calls)
        with os.fdopen(write, "wb") as stream:
            stream.write(json.dumps(answer).encode() + b"\n")
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _try(kind: str, name: str, folders: Sequence[str], calls: Sequence[Mapping[str, Any]]) -> Answer:
    for folder in folders:
        own_modules.make_importable(Path(folder))
    found: Answer = {}
    with reads.noted() as noted:
        if wrong := plugins.check_custom(kind, name, folders[0]):
            return {"wrong": wrong}
        for arguments in calls:
            try:
                found |= CALLS[kind](name, **arguments)
            except (Exception, SystemExit):  # the trial tells it, with its own arguments
                traceback.print_exc()
    return {**found, "files": sorted(noted.files), "folders": sorted(noted.folders)}


def _data_set(name: str, options: Mapping[str, Any]) -> Answer:
    splits = checked(name, loader(name)(Options(**{**options, "root": Path(options["root"])})))
    labels, shape = splits.train.labels, list(splits.train.shape)
    task = {"task": kind_of(labels), "targets": list(labels.shape[1:])}
    return {"classes": targets.channels(splits), "shape": shape, **task}


def _model(name: str, width: float, classes: int, shape: Sequence[int]) -> Answer:
    """Build the network, and run it: what it reads may wait until then."""
    with torch.no_grad():
        _built(name, width, classes, shape).eval()(torch.zeros(2, *shape))
    return {}


def _compression(
    name: str, model: str, width: float, classes: int, shape: Sequence[int], ratio: float | None
) -> Answer:
    def fine_tune(model: nn.Module, share: float = 1.0, pace: float = 1.0) -> None: ...

    with reads.noted():  # which a stage depends on as the model's own
        network = _built(model, width, classes, shape)
    compressor(name)(network, ratio, torch.zeros(1, *shape), fine_tune)
    return {}


def _loss(name: str, **stack: Any) -> Answer:
    outputs, labels = _answered(**stack)
    Loss(name, Task(stack["task"], stack["classes"])).function()(outputs.requires_grad_(), labels)
    return {}


def _metric(name: str, **stack: Any) -> Answer:
    outputs, labels = _answered(**stack)
    Judge("check", name).value(outputs.numpy(), labels.numpy())
    return {}


def _answered(
    model: str,
    width: float,
    classes: int,
    shape: Sequence[int],
    task: str,
    targets: Sequence[int],
    network: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the outputs of a network for two images, and targets that such images may have.

    Parameters
    ----------
    network
        The ONNX file that the model is, of whose outputs the shape alone is known here.
    """
    if network is not None:
        outputs = torch.zeros(2, *_adopted(Path(network), shape, Task(task, classes, tuple(targets))))
    else:
        with torch.no_grad(), reads.noted():  # which a stage depends on as the model's own
            outputs = _built(model, width, classes, shape).eval()(torch.zeros(2, *shape))
    return outputs, torch.zeros(2, *targets, dtype=torch.float32 if task == NUMBERS else torch.int64)


def _adopted(file: Path, shape: Sequence[int], task: Task) -> tuple[int, ...]:
    """Return the shape of what the network in an ONNX file answers for an image."""
    from explorer.line.adopting import fitting, reading  # onnx, which only spaces with such models need

    channels, height, side = shape
    return fitting.answer_of(fitting.fit(reading.read(file), (channels, height, side), task))


def _built(name: str, width: float, classes: int, shape: Sequence[int]) -> nn.Module:
    channels, height, side = shape
    return builder(name)(width, classes, (channels, height, side))


CALLS: Mapping[str, Callable[..., Answer]] = {
    "dataset": _data_set, "model": _model, "compression": _compression, "loss": _loss, "metric": _metric,
}  # fmt: skip
