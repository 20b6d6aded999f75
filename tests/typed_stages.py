"""Stages whose parents have no files, for tests of what engines, executors and jobs do with any stage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from explorer.core.artifact import Artifact
from explorer.core.settings import AnswerSettings, DataSettings, EvaluateSettings, MeasureSettings, TrainSettings
from explorer.line import contracts
from tests.scripted_workers import NATIVE


def made(stage: str, key: str = "key", **values: Any) -> Artifact:
    """Return an artifact of `stage` that has no files."""
    return Artifact(stage, key, Path(), values)


def data(dataset: str = "digits") -> contracts.data.Stage:
    return contracts.data.Stage(
        contracts.data.Parameters(dataset, DataSettings()), contracts.data.Parents(made("source"))
    )


def training(
    images: int, side: int, epochs: int, validation: int = 0, answered: AnswerSettings | None = None
) -> contracts.train.Stage:
    parameters = contracts.train.Parameters("resnet18", 1.0, TrainSettings(epochs=epochs, weights="file"), answered)
    images_of = made("data", train=images, validation=validation, shape=[3, side, side])
    return contracts.train.Stage(parameters, contracts.train.Parents(images_of))


def evaluation() -> contracts.evaluate.Stage:
    parameters = contracts.evaluate.Parameters({}, 1e-3, EvaluateSettings())  # type: ignore[typeddict-item]
    return contracts.evaluate.Stage(
        parameters, contracts.evaluate.Parents(made("data"), made("compress"), made("compress"))
    )


def measurement(threads: int = 1) -> contracts.measure.Stage:
    protocol = MeasureSettings()
    parameters = contracts.measure.Parameters(
        threads, protocol.samples, protocol.sample_ms, protocol.warmup_ms, protocol.tolerance
    )
    return contracts.measure.Stage(
        parameters, contracts.measure.Parents(made("compress"), made("lower"), made("build"))
    )


def tuning(device: str = "local") -> contracts.tune.Stage:
    parameters = contracts.tune.Parameters("template", 8, 0, NATIVE, 1, device)
    return contracts.tune.Stage(parameters, contracts.tune.Parents(made("lower")))


def comparison(device: str = "local") -> contracts.confirm.Stage:
    protocol = MeasureSettings()
    parameters = contracts.confirm.Parameters(1, protocol.samples, protocol.sample_ms, protocol.warmup_ms, device)
    libraries = made("build", "untuned"), made("build", "tuned")
    return contracts.confirm.Stage(parameters, contracts.confirm.Parents(made("compress"), made("lower"), *libraries))


def selection(algorithm: str = "auto", threads: int = 1, evicted: int = 1 << 20) -> contracts.select.Stage:
    """Return the selection for two layers, of which one has two candidates and the other one."""
    problems = [
        {"problem": {"layer": "a"}, "candidates": ["direct", "gemm"]},
        {"problem": {"layer": "b"}, "candidates": ["direct"]},
    ]
    planned = made("plan", f"plan for {algorithm}", problems=problems, evicted_bytes=evicted)
    parameters = contracts.select.Parameters(algorithm, "dense", "float32", NATIVE, threads, "local")
    return contracts.select.Stage(parameters, contracts.select.Parents(planned))
