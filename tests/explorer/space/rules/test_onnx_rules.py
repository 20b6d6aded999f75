"""Spaces with ONNX files as models: the stacks that there are, and settings that would train such a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from explorer.space import space
from tests.explorer import spaces
from tests.explorer.spaces import SMALL, make, render

FILE = "onnx:nets/digits.onnx"
NARROW = ["none", "float16", "bfloat16", "int8", "weight_pruning", "weight_pruning+int8"]


def axes(**changed: Any) -> dict[str, Any]:
    return {**SMALL, "model": FILE, "compression": ["none", "int8"], "ratio": None, **changed}


def test_a_file_takes_what_needs_no_training(tmp_path: Path) -> None:
    chosen = axes(compression=NARROW, ratio=0.5)
    path = tmp_path / "space.toml"
    path.write_text(render(chosen, train={"epochs": 0}, compress={"epochs": 0}))
    found = space.load(path)
    assert {c.compression for c in found.configurations()} == set(NARROW)
    assert {c.model for c in found.configurations()} == {FILE}


def test_beside_other_models_a_file_has_no_stacks_that_need_one_of_torch(tmp_path: Path) -> None:
    chosen = axes(
        model=["resnet18", FILE], width=[0.5, 1], compression=["none", "channel_pruning", "int8_qat"], ratio=0.5
    )
    stacks = {(c.model, c.width, c.compression) for c in make(tmp_path, chosen).configurations()}
    assert {stack for stack in stacks if stack[0] == FILE} == {(FILE, 1.0, "none")}
    assert len(stacks) == 1 + 2 * 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"width": 0.5}, f"model {FILE} has no width other than 1, and is asked for at 0.5"),
        ({"compression": ["none", "channel_pruning"], "ratio": 0.5},
         f"model {FILE} is an ONNX file, and channel_pruning needs a model in PyTorch; "
         "allowed: bfloat16, float16, int8, int8_mixed, none, weight_pruning, or a constraint"),
        ({"compression": ["none", "weight_pruning+int8_qat"], "ratio": 0.5}, "and int8_qat needs a model in PyTorch"),
        ({"compression": ["none", "own:shrink"], "ratio": 0.5}, "and own:shrink needs a model in PyTorch"),
        ({"compression": ["none", "onnx:net"]}, "4: unknown compression 'onnx:net' on axis compression; allowed: "),
        ({"model": "onnx:"}, "3: unknown model 'onnx:' on axis model; allowed: "),
        ({"model": "nets/digits.onnx"}, "an ONNX file is written 'onnx:nets/digits.onnx'"),
    ],
)  # fmt: skip
def test_what_no_file_takes_is_refused(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path, axes(**changed))


def refused(folder: Path, chosen: dict[str, Any], constraints: Any = (), **tables: Any) -> str:
    return spaces.refused(folder, render(chosen, constraints, **tables))


@pytest.mark.parametrize(
    ("changed", "tables", "message"),
    [
        ({}, {"train": {"epochs": 3}},
         f"8: {FILE} is an ONNX file, which cannot be trained; allowed: epochs = 0 in [train]"),
        ({}, {"train": {"weights": "a.pt"}}, f"8: weights in [train] start models in PyTorch, and {FILE} has its own"),
        ({}, {"train": {"loss": "mse"}}, f"8: loss in [train] is what training minimises, and {FILE} is an ONNX file"),
        ({"compression": ["none", "weight_pruning"], "ratio": 0.5}, {},
         f"{FILE} is an ONNX file, which weight_pruning cannot fine-tune for the 4 epochs of [compress]; allowed: "
         "epochs = 0 there, or a constraint that forbids the two together"),
        ({"model": ["resnet18", FILE]}, {"train": {"epochs": 0}},
         "8: epochs = 0 in [train] trains nothing and needs weights"),
    ],
)  # fmt: skip
def test_no_file_is_trained(changed: dict[str, Any], tables: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path, axes(**changed), **tables)


def test_a_constraint_keeps_fine_tuning_for_the_other_models(tmp_path: Path) -> None:
    chosen = axes(model=["resnet18", FILE], compression=["none", "weight_pruning"], ratio=0.5)
    apart = [{"when": {"model": FILE}, "forbid": {"compression": "weight_pruning"}}]
    assert "cannot fine-tune" in refused(tmp_path, chosen)
    stacks = {(c.model, c.compression) for c in make(tmp_path, chosen, apart).configurations()}
    assert stacks == {("resnet18", "none"), ("resnet18", "weight_pruning"), (FILE, "none")}
