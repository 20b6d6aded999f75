"""Latencies before a fine-tuning: taken where it does not change them, and then the screen decides about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from explorer.core.configuration import Configuration
from explorer.core.errors import DOMINATED, Failure
from explorer.core.settings import CompressSettings, Settings
from explorer.line import contracts
from explorer.line.trials import dry_run, trial
from explorer.workspace.database.records import Record
from tests.explorer.noting import NotingEngine

PRUNED = Configuration("digits", "resnet18", compression="channel_pruning", ratio=0.5, channel_multiple=8)


class Patient:
    """Leaves nothing out and remembers which stacks it was asked about, and what was known of them."""

    def __init__(self) -> None:
        self.asked: list[Configuration] = []
        self.known: list[Mapping[str, Any]] = []

    def why_not(self, configuration: Configuration, known: Mapping[str, Any]) -> str | None:
        self.asked.append(configuration)
        self.known.append(known)
        return None


@pytest.mark.parametrize(
    ("compression", "networks", "measurements"),
    [
        ("weight_pruning", 1, 0),  # dense kernels take as long as without zeros
        ("int8_qat", 1, 0),
        ("channel_pruning", 2, 1),
        ("channel_pruning+weight_pruning", 2, 1),
        ("channel_pruning+int8_qat", 2, 1),
    ],
)
def test_only_other_shapes_are_compressed_and_measured_apart(
    compression: str, networks: int, measurements: int
) -> None:
    engine, screen = dry_run.CountingEngine({}), Patient()
    c = Configuration(
        "digits", "resnet18", compression=compression, ratio=0.5 if "pruning" in compression else None,
        channel_multiple=8 if "channel" in compression else None,
    )  # fmt: skip
    for known in ("none", "int8"):
        trial.run(Configuration("digits", "resnet18", compression=known), Settings(), engine, screen)
    assert not screen.asked, "there is nothing to train"
    before = engine.distinct.copy()
    trial.run(c, Settings(), engine, screen)
    assert screen.asked == [c]
    executed = engine.distinct - before
    assert (executed["compress"], executed["measure"]) == (networks, measurements)


def test_a_stack_on_several_devices_is_measured_on_each_before_it_is_fine_tuned() -> None:
    engine, screen = dry_run.CountingEngine({}), Patient()
    both = replace(PRUNED, device="left+right")
    trial.run(both, Settings(), engine, screen)
    assert screen.asked == [both]
    assert (engine.distinct["compress"], engine.distinct["measure"]) == (2, 2)


def test_which_weights_are_zero_decides_how_long_csr_takes() -> None:
    screen = Patient()
    c = Configuration("digits", "resnet18", compression="weight_pruning", ratio=0.5, format="csr")
    trial.run(c, Settings(), dry_run.CountingEngine({}), screen)
    assert not screen.asked


def test_what_was_confirmed_before_its_fine_tuning_is_not_compared_again() -> None:
    engine, screen = NotingEngine(), Patient()
    record = trial.run(replace(PRUNED, tuning_trials=8, tuner="template"), Settings(), engine, screen)
    assert isinstance(record, Record)
    assert (engine.distinct["tune"], engine.distinct["confirm"], engine.distinct["measure"]) == (2, 1, 1)
    tuned = [stage for stage in engine.stages if isinstance(stage, contracts.build.Stage) and stage.parents.tune]
    assert record.values["build_key"] == tuned[-1].key != tuned[0].key, "that of the fine-tuned network"
    assert {"tuned_ratio", "tuned_ratio_low", "tuned_ratio_high"} <= record.values.keys() & screen.known[0].keys()


def test_without_fine_tuning_there_is_nothing_to_measure_before() -> None:
    engine, screen = dry_run.CountingEngine({}), Patient()
    trial.run(PRUNED, Settings(compress=CompressSettings(epochs=0)), engine, screen)
    assert not screen.asked
    assert engine.distinct["measure"] == 1


def test_a_compression_of_the_users_own_is_trained_before_it_is_measured() -> None:
    engine, screen = dry_run.CountingEngine({}), Patient()
    trial.run(Configuration("digits", "resnet18", compression="mine:prune", ratio=0.5), Settings(), engine, screen)
    assert not screen.asked


def test_the_screen_knows_all_but_the_accuracies() -> None:
    screen = Patient()
    trial.run(PRUNED, Settings(), dry_run.CountingEngine({}), screen)
    [known] = screen.known
    assert {"trained_accuracy", "size_bytes", "latency_ms", "latency_low_ms", "latency_high_ms"} <= known.keys()
    assert "accuracy" not in known


def test_what_the_screen_leaves_out_is_neither_fine_tuned_nor_evaluated() -> None:
    class Strict(Patient):
        def why_not(self, configuration: Configuration, known: Mapping[str, Any]) -> str | None:
            return "trial 7 is better"

    engine = dry_run.CountingEngine({})
    outcome = trial.run(PRUNED, Settings(), engine, Strict())
    assert outcome == Failure("compress", DOMINATED, "not trained, since trial 7 is better")
    assert (engine.distinct["compress"], engine.distinct["measure"], engine.distinct["evaluate"]) == (1, 1, 0)
