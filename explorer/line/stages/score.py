"""Predictions that a compiled network made, targets and the user's function → the metric, with its 95 % interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from explorer.line.checking.metric import Judge
from explorer.line.checking.reference import ANSWERS, predictions_file
from explorer.line.contracts.score import Parameters, Parents, Values
from explorer.line.prepared import Prepared

VERSION = 1
WORKER = "torch"  # the user's function may need it, and workers for TVM are without


def run(parameters: Parameters, parents: Parents, out: Path) -> Values:
    """Judge the predictions for the validation and test images that ``evaluate`` kept.

    Raises
    ------
    StageFailed
        Of kind ``metric``, if the function raises, or returns neither one number nor a number for each image.
    """
    judge, splits = Judge("score", parameters.metric), Prepared.load(parents.data)
    kept = parents.evaluate.path
    with np.load(kept / ANSWERS) as answers:
        drawn = {split: answers[f"{split}_images"] for split in ("validation", "test")}
    predictions = {split: np.load(kept / predictions_file(split), mmap_mode="r") for split in drawn}
    targets = {split: getattr(splits, split).labels[images] for split, images in drawn.items()}
    found = judge.interval(predictions["validation"], targets["validation"])
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "test": judge.value(predictions["test"], targets["test"]),
    }
