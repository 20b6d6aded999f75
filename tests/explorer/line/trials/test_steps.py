"""Steps of the line: what each asks the engine for, what it leaves out, and what of it all is on record."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration
from explorer.core.settings import CompressSettings, MeasureSettings, Settings
from explorer.line import contracts
from explorer.line.trials.recording import record_of
from explorer.line.trials.steps import Latency, Steps, faster
from tests.explorer.noting import BOARD, FOLDER, LATENCY, NotingEngine
from tests.typed_stages import made

PLAIN = Configuration("digits", "resnet18", 0.25)
SETTINGS = Settings()


def steps_of(c: Configuration) -> tuple[Steps, NotingEngine]:
    engine = NotingEngine()
    return Steps(c, SETTINGS, engine), engine


def test_images_lie_in_the_folder_that_they_are_in_now() -> None:
    steps, _ = steps_of(PLAIN)
    assert steps.data().values["root"] == str(FOLDER)


@pytest.mark.parametrize(
    ("compression", "ratio", "multiple"),
    [("none", None, None), ("weight_pruning", 0.5, None), ("channel_pruning", 0.5, 16), ("int8_qat", None, None)],
)
def test_a_compression_has_the_parameters_that_it_takes(
    compression: str, ratio: float | None, multiple: int | None
) -> None:
    """A channel multiple named vector becomes the number of the target's."""
    c = replace(PLAIN, compression="channel_pruning+weight_pruning", ratio=0.5, channel_multiple="vector")
    steps, engine = steps_of(c)
    steps.compress(made("data"), made("train"), compression, CompressSettings(epochs=7))
    parameters = engine.stage("compress").parameters
    assert isinstance(parameters, contracts.compress.Parameters)
    assert (parameters.compression, parameters.ratio, parameters.channel_multiple) == (compression, ratio, multiple)
    assert parameters.settings == (CompressSettings(epochs=7) if compression != "none" else None)


@pytest.mark.parametrize(
    ("compression", "stage"), [("none", "compress"), ("float16", "compress"), ("int8", "quantize")]
)
def test_only_int8_is_quantized(compression: str, stage: str) -> None:
    steps, engine = steps_of(replace(PLAIN, compression=compression))
    assert steps.quantize(made("data"), made("compress")).stage == stage
    assert len(engine.stages) == (stage == "quantize")


def test_the_batch_is_that_of_what_is_planned_and_lowered() -> None:
    steps, engine = steps_of(replace(PLAIN, algorithm="auto", batch=4))
    planned = steps.plan(made("compress"))
    steps.lower(made("compress"), steps.select(planned))
    for name in ("plan", "lower"):
        parameters = engine.stage(name).parameters
        assert isinstance(parameters, contracts.plan.Parameters | contracts.lower.Parameters)
        assert parameters.batch == 4


def test_only_an_algorithm_that_selects_is_planned_and_selected_for() -> None:
    steps, engine = steps_of(replace(PLAIN, algorithm="gemm"))
    assert steps.select(steps.plan(made("compress"))) is None
    assert engine.stages == []
    steps, engine = steps_of(replace(PLAIN, algorithm="auto"))
    assert steps.select(steps.plan(made("compress"))) is not None
    assert [stage.name for stage in engine.stages] == ["plan", "select"]


def test_only_a_budget_is_tuned_with() -> None:
    steps, engine = steps_of(PLAIN)
    assert steps.tune(made("lower")) is None
    assert steps.rebuild(made("lower"), None) is None
    steps, engine = steps_of(replace(PLAIN, tuning_seconds=60, tuner="template"))
    assert steps.tune(made("lower")) is not None
    parameters = engine.stage("tune").parameters
    assert isinstance(parameters, contracts.tune.Parameters)
    assert (parameters.tuning_trials, parameters.tuning_seconds, parameters.device) == (0, 60, "local")


def test_only_what_tuning_made_faster_is_built_again_and_compared() -> None:
    steps, engine = steps_of(replace(PLAIN, tuning_trials=8, tuner="template", threads=2, device="board"))
    untuned = steps.build(made("lower"))
    assert steps.rebuild(made("lower"), made("tune", layers_faster=0)) is None
    assert steps.confirm(made("compress"), made("lower"), untuned, None) is None
    tuned = steps.rebuild(made("lower"), made("tune", layers_faster=3))
    assert tuned is not None
    assert tuned.key != untuned.key
    assert steps.confirm(made("compress"), made("lower"), untuned, tuned) is not None
    stage = engine.stage("confirm")
    assert isinstance(stage, contracts.confirm.Stage)
    protocol = SETTINGS.measure
    assert stage.parameters == contracts.confirm.Parameters(
        2, protocol.samples, protocol.sample_ms, protocol.warmup_ms, "board"
    )
    assert stage.parents == contracts.confirm.Parents(made("compress"), made("lower"), untuned, tuned)


def test_a_tuned_library_counts_only_if_it_is_confirmed() -> None:
    untuned, tuned = made("build", "untuned"), made("build", "tuned")
    assert faster(untuned, None, None) == untuned
    assert faster(untuned, tuned, made("confirm", faster=False)) == untuned
    assert faster(untuned, tuned, made("confirm", faster=True)) == tuned


def evaluated(device: str) -> tuple[NotingEngine, Artifact, Artifact]:
    """Return an engine that was asked for an evaluation, and ``lower`` and ``build`` of the device."""
    steps, engine = steps_of(replace(PLAIN, device=device, compression="int8"))
    lowered = steps.lower(made("quantize"), None)
    built = steps.rebuild(lowered, made("tune", layers_faster=1))
    assert built is not None
    steps.evaluate(made("data"), made("compress"), made("quantize"), None, lowered, built)
    return engine, lowered, built


def test_what_runs_here_is_evaluated_as_it_is() -> None:
    engine, lowered, built = evaluated("local")
    parents = engine.executed["evaluate"]
    assert isinstance(parents, contracts.evaluate.Parents)
    assert (parents.lower, parents.build) == (lowered, built)
    assert [stage.name for stage in engine.stages] == ["lower", "build", "evaluate"]


def test_for_another_target_the_network_is_evaluated_compiled_for_this_machine_and_not_tuned() -> None:
    engine, lowered, built = evaluated("board")
    parents = engine.executed["evaluate"]
    assert isinstance(parents, contracts.evaluate.Parents)
    assert parents.lower not in (None, lowered)
    assert parents.build not in (None, built)
    *_, here = (stage for stage in engine.stages if isinstance(stage, contracts.build.Stage))
    assert here.parameters.target == engine.host != BOARD.target
    assert here.parents == contracts.build.Parents(parents.lower, None)


def test_accuracy_and_latency_allow_what_the_dtype_does() -> None:
    engine, *_ = evaluated("local")
    steps = Steps(replace(PLAIN, compression="int8"), SETTINGS, engine)
    latency = steps.measure(made("quantize"), made("lower"), made("build"))
    assert latency.values == LATENCY.as_columns(1)
    assert latency.key == engine.stage("measure").key
    allowed = MeasureSettings().allowed("int8")
    assert allowed != MeasureSettings().allowed("float32")
    for name in ("evaluate", "measure"):
        parameters = engine.stage(name).parameters
        assert isinstance(parameters, contracts.evaluate.Parameters | contracts.measure.Parameters)
        assert parameters.tolerance == allowed


def test_a_record_has_plain_values_keys_and_the_notes_that_there_are() -> None:
    record = record_of(
        replace(PLAIN, compression="float16", threads=2),
        made("data", "d", note="3 files are left out"),
        made("train", "t", validation_accuracy=0.9),
        made("compress", "c", macs=5, layers={"conv1": {}}),
        made("quantize", "q"),
        made("lower", "l", convolutions=2, numerics={}),
        made("confirm", "k", ratio=0.9, ratio_low=0.8, ratio_high=0.95, faster=True, sessions=[]),
        made("build", "b", size_bytes=7, memory_bytes=100, thread_bytes=10),
        made("evaluate", "e", accuracy=0.8),
        Latency("m", {"latency_ms": 1.5}),
    )
    assert record.values == {
        "trained_accuracy": 0.9, "accuracy": 0.8, "macs": 5, "size_bytes": 7, "convolutions": 2, "latency_ms": 1.5,
        "peak_memory_bytes": 120, "tuned_ratio": 0.9, "tuned_ratio_low": 0.8, "tuned_ratio_high": 0.95,
        "dtype": "float16", "data_note": "3 files are left out", "data_key": "d", "train_key": "t",
        "compress_key": "c", "network_key": "q", "lower_key": "l", "build_key": "b", "evaluate_key": "e",
        "measure_key": "m",
    }  # fmt: skip
