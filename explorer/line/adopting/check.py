"""ONNX file and what is known of a data set's images → what is wrong with it in one sentence; a worker calls it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx

from dlas_ops.onnx.importable import refusal
from explorer.core.errors import ExplorerError
from explorer.line.adopting import fitting, reading


def why_not(path: str, looks: Sequence[tuple[str, int, Sequence[int]]]) -> str | None:
    """Return why the network in the file at `path` cannot come down the line, None if it can.

    Parameters
    ----------
    looks
        Name, number of classes and shape, (C, H, W), of each data set of which they are known.
    """
    try:
        model = reading.read(Path(path))
        for name, classes, (channels, height, width) in looks:
            try:
                import_into_tvm(fitting.fit(model, (channels, height, width), classes))
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
