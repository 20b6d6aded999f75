"""Artifacts of a small network on the digits, which the tests of the stages for TVM share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from tvm import rpc as tvm_rpc

from dlas_ops.processor.targets import native_target
from explorer.core.artifact import Artifact
from explorer.line.checking.reference import Reference
from explorer.line.device import rpc, silence
from explorer.line.prepared import Prepared
from tests import torch_stages
from tests.conftest import Once
from tests.explorer.digit_network import network


@pytest.fixture(scope="session")
def small(once: Once, digits: Artifact) -> Artifact:
    """The network as stage ``compress`` leaves one behind: network.onnx and reference.npz."""

    def make(folder: Path) -> Artifact:
        made = network()
        onnx.save(made, folder / "network.onnx")
        images = Reference.inputs(Prepared.load(digits))
        evaluator: Any = ReferenceEvaluator(made)
        logits = [evaluator.run(["logits"], {"image": image[np.newaxis]})[0] for image in images]
        Reference(images, np.concatenate(logits)).save(folder)
        return Artifact("compress", "small", folder)

    return once.made("small", make)


@pytest.fixture(scope="session")
def lowered(once: Once, small: Artifact) -> Artifact:
    """The network lowered for this machine, its convolutions by gemm."""
    choice = {"algorithm": "gemm", "format": "dense", "dtype": "float32", "target": native_target()}
    return once.made("lowered", lambda folder: torch_stages.execute("lower", folder, choice, network=small))


@pytest.fixture(scope="session")
def built(once: Once, lowered: Artifact) -> Artifact:
    """The library of the lowered network."""
    target = {"target": native_target()}
    return once.made("built", lambda folder: torch_stages.execute("build", folder, target, lower=lowered))


@pytest.fixture(scope="session")
def ticking(once: Once, small: Artifact, lowered: Artifact) -> Artifact:
    """The library of the lowered network that notes times."""
    target, parents = {"target": native_target()}, {"network": small, "lower": lowered}
    return once.made("ticking", lambda folder: torch_stages.execute("instrument", folder, target, **parents))


@pytest.fixture(scope="session")
def control(once: Once) -> Artifact:
    """The control's programs for this machine."""
    target = {"target": native_target()}
    return once.made("control stage", lambda folder: torch_stages.execute("control", folder, target))


@pytest.fixture
def leased(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """The calls for a session on the device, which is one in this process, and for its threads."""
    calls: list[tuple[object, ...]] = []

    def connect(*arguments: object) -> Any:
        calls.append(arguments)
        return tvm_rpc.LocalSession()

    monkeypatch.setattr(rpc, "connect", connect)
    monkeypatch.setattr(rpc, "set_threads", lambda session, *arguments: calls.append(arguments))
    return calls


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The networks that a device loaded while nothing limited how long it may say nothing."""
    load, found = rpc.machine, list[str]()

    def machine(session: Any, library: str, target: Any) -> Any:
        if not silence._WATCH._calls:
            found.append(library)
        return load(session, library, target)

    monkeypatch.setattr(rpc, "machine", machine)
    return found
