"""A network that is given other images than its weights want: which setting is told, and when none is."""

from __future__ import annotations

from pathlib import Path

from explorer.core.artifact import Artifact
from tests import torch_stages


def test_weights_that_want_other_images_are_told_so(digits: Artifact, trained: Artifact, tmp_path: Path) -> None:
    start = Artifact("weights", "weights", trained.path / "weights.pt")

    def note(data: Artifact, folder: str, epochs: int = 0) -> object:
        made = torch_stages.train(tmp_path / folder, data, start=start, weights="file", epochs=epochs)
        return made.values.get("note")

    shifted = torch_stages.data(tmp_path / "shifted", mean=0.9, std=1.0)
    told = str(note(shifted, "told"))
    assert told.startswith("the network classifies ")
    assert "of 200 validation images as they come and 9" in told
    assert told.endswith('% with normalise = "dataset" in [data], which its weights seem to want')
    assert note(digits, "fits") is None
    assert note(shifted, "trained on", epochs=1) is None
