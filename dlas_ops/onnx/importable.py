"""ONNX file → whether TVM imports it, as a line of JSON: ``python -m dlas_ops.onnx.importable network.onnx``.

It writes ``null``, or the operator that TVM fails at, what the exporter noted of it, and TVM's reason.
"""

from __future__ import annotations

import json
import re
import sys
import traceback
from typing import TypedDict

import onnx

from dlas_ops._tvm import tvm

UNKNOWN = re.compile(r"operators are not supported for frontend ONNX: (?P<operators>[\w, ]+)")


class Refusal(TypedDict):
    """Why TVM does not import a network.

    Attributes
    ----------
    operator : the first that it fails at, "" where that is not known
    properties : what the exporter noted of that operator
    reason : what TVM says, in its first line
    """

    operator: str
    properties: dict[str, str]
    reason: str


def refusal(network: onnx.ModelProto) -> Refusal | None:
    """Return why TVM does not import `network` into tensor programs, None if it does."""
    from tvm.relax.frontend.onnx import from_onnx

    try:
        module = from_onnx(network, keep_params_in_input=False)
        transform = tvm.relax.transform
        tvm.transform.Sequential([transform.DecomposeOpsForInference(), transform.LegalizeOps()])(module)
    except Exception as error:  # TVM raises all kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        node = _failing(network, error)
        noted = {each.key: each.value for each in node.metadata_props} if node else {}
        return Refusal(operator=node.op_type if node else "", properties=noted, reason=reason)
    return None


def _failing(network: onnx.ModelProto, error: Exception) -> onnx.NodeProto | None:
    """Return the operator that an error is about: the first that the importer does not know, or was converting."""
    if unknown := UNKNOWN.search(str(error)):
        names = unknown["operators"].split(", ")
        return next((node for node in network.graph.node if node.op_type in names), None)
    found = [frame.f_locals.get("node") for frame, _ in traceback.walk_tb(error.__traceback__)]
    return next((node for node in reversed(found) if isinstance(node, onnx.NodeProto)), None)


if __name__ == "__main__":
    print(json.dumps(refusal(onnx.load(sys.argv[1]))))
