"""Stratified splits, and the names of data sets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer.core.errors import ExplorerError, StageFailed
from explorer.datasets import Held, stratified
from tests import torch_stages


def test_a_class_of_one_image_cannot_be_split() -> None:
    with pytest.raises(StageFailed, match="class"):
        stratified(Held(np.zeros((5, 1, 2, 2), np.uint8), np.array([0, 0, 0, 0, 1])), 0.4, 0)


def test_an_unknown_data_set_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ExplorerError, match="did you mean 'digits'"):
        torch_stages.data(tmp_path, "digit")
