"""Contracts of all stages: a worker reads what an engine sends, and nothing enters a key that decides no result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest

from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.settings import (
    AnswerSettings,
    CompressSettings,
    DataSettings,
    EvaluateSettings,
    LossSettings,
    QuantizeSettings,
    TrainSettings,
)
from explorer.line import contracts
from explorer.line.contracts.on_device import Address
from explorer.line.stage import Parameters, Parents, ParentsWithCode, Stage

TARGET = {"kind": "llvm", "mcpu": "znver3", "num-cores": 2}
BOARD = Address(tracker="10.0.0.1:9190", key="board")
# Stage → parameters, few of them defaults, which a lost field would have, too.
PARAMETERS: Mapping[str, Parameters] = {
    "data": contracts.data.Parameters("digits", DataSettings(test=0.3, seed=1)),
    "train": contracts.train.Parameters(
        "resnet18", 1, TrainSettings(epochs=7, learning_rate=0.3, loss="l1"), metric="nets:metric"
    ),
    "score": contracts.score.Parameters("nets:metric"),
    "compress": contracts.compress.Parameters(
        "weight_pruning", 0.5, 8, "vgg16", 0.25, CompressSettings(scores="lamp"), loss=LossSettings(loss="l1")
    ),
    "adopt": contracts.adopt.Parameters("onnx:nets/a.onnx", 1e-2, AnswerSettings(answered_images=9, answered_seed=1)),
    "prune": contracts.prune.Parameters(0.5, "lamp", 1e-2, AnswerSettings(answered_images=9, answered_seed=1)),
    "quantize": contracts.quantize.Parameters(QuantizeSettings(percentile=99.9)),
    "harm": contracts.harm.Parameters(7),
    "rank": contracts.rank.Parameters(),
    "mix": contracts.mix.Parameters(["conv1", "fc"]),
    "plan": contracts.plan.Parameters("csr", "int8", TARGET, 4),
    "candidates": contracts.candidates.Parameters([{"layer": "a"}], TARGET),
    "select": contracts.select.Parameters(
        "auto", "csr", "int8", TARGET, 2, "board", [{"direct": 1.5}, {}], address=BOARD
    ),
    "lower": contracts.lower.Parameters("gemm", "csr", "float16", TARGET, 4),
    "tune": contracts.tune.Parameters("template", 8, 60, TARGET, 2, "board", "folder", 30.0, address=BOARD),
    "build": contracts.build.Parameters(TARGET),
    "confirm": contracts.confirm.Parameters(
        2, 10, 0.5, 1.5, "board", usual=[0.3, None, 2.5], patience=9.0, linked="folder", cores=[1, 0], address=BOARD
    ),
    "evaluate": contracts.evaluate.Parameters(
        {"dtype": "int8", "layers": {"conv1": "int8"}}, 0.2, EvaluateSettings(images=100)
    ),
    "control": contracts.control.Parameters(TARGET),
    "instrument": contracts.instrument.Parameters(TARGET),
    "profile": contracts.profile.Parameters(
        2, 10, 0.5, 1.5, 3, "board", usual=[0.3, None, 2.5], patience=9.0, linked="folder", cores=[1, 0], address=BOARD
    ),
    "measure": contracts.measure.Parameters(
        2,
        10,
        0.5,
        1.5,
        1e-2,
        compares=False,
        usual=[0.3, None, 2.5],
        patience=9.0,
        linked="folder",
        cores=[1, 0],
        address=BOARD,
    ),
}
# Stage → what its execution is told that decides nothing of its result.
OUTSIDE = {
    "select": {"known", "tracker", "key", "candidates"},
    "tune": {"database", "reconnect", "tracker", "key"},
    "confirm": {"usual", "patience", "linked", "cores", "tracker", "key", "control"},
    "profile": {"usual", "patience", "linked", "cores", "tracker", "key", "control"},
    "measure": {"compares", "usual", "patience", "linked", "cores", "tracker", "key", "control"},
    "train": {"metric"},
    "evaluate": {"lower", "build"},
    "compress": {"is_trained"},
    "adopt": {"model"},
}
CODE = "code of nets:build"


def stage_of(name: str) -> Stage:
    """Return a stage with all the parents that it may have."""
    contract = getattr(contracts, name)
    names = [each.name for each in fields(contract.Parents) if each.name != "code"]
    own = [CODE] if issubclass(contract.Parents, ParentsWithCode) else []
    parents: Parents = contract.Parents.of(
        {each: Artifact(each, f"key of {each}", Path("folder") / each, {"n": 1}, 2.5) for each in (*names, *own)}
    )
    made: Stage = contract.Stage(PARAMETERS[name], parents)
    return made


@pytest.mark.parametrize("name", plugins.names("stage"))
def test_a_worker_reads_what_an_engine_sends(name: str) -> None:
    sent = stage_of(name)
    request = json.loads(json.dumps(sent.as_json()))
    named = {own: Artifact(**{**parent, "path": Path(parent["path"])}) for own, parent in request["parents"].items()}
    assert contracts.parse(request["stage"], request["parameters"], named) == (sent.parameters, sent.parents)


@pytest.mark.parametrize("name", plugins.names("stage"))
def test_only_what_decides_nothing_stays_out_of_the_key(name: str) -> None:
    stage = stage_of(name)
    sent = stage.parameters.as_json().keys() | stage.parents.named().keys()
    assert sent - (stage.parameters.keyed().keys() | stage.parents.keyed().keys()) == OUTSIDE.get(name, set())
    assert set(stage.parents.keyed().values()) <= {parent.key for parent in stage.parents.named().values()}
