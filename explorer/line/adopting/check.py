"""ONNX file and what is known of data sets' images → what is wrong with it in one sentence; a worker calls it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from dlas_ops.onnx.importable import refusal
from explorer.core.errors import ExplorerError
from explorer.line.adopting import fitting, reading
from explorer.line.task import Task


def why_not(path: str, looks: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Return why the network in the file at `path` cannot come down the line, None if it can.

    Parameters
    ----------
    looks
        Data set → the fields of `explorer.inputs.own_code.Looks`, where they are known.
    """
    try:
        model = reading.read(Path(path))
        for name, own in looks.items():
            channels, height, width = own["shape"]
            task = Task(own["task"], own["classes"], tuple(own["targets"]))
            try:
                import_into_tvm(fitting.fit(model, (channels, height, width), task))
            except ExplorerError as error:
                raise ExplorerError(f"on data set {name}: {error}") from error
    except ExplorerError as error:
        return str(error)
    return None


def import_into_tvm(network: onnx.ModelProto) -> None:
    """Raise ExplorerError if TVM does not import the network, with the node that it fails at where that is known."""
    if (found := refusal(network)) is None:
        return
    nodes = [node for node in network.graph.node if node.op_type == found["operator"]]
    such = "such as " if len(nodes) > 1 else ""
    where = f"{such}{reading.named(nodes[0])}" if nodes else "an operator"
    raise ExplorerError(f"TVM does not import the network, at {where}: {found['reason']}")
