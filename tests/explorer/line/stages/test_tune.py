"""Studies with a tuning budget: each network tuned once per tuner and budget, and judged by the tuned library."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dlas_ops.tuning.tuners import generated
from explorer.core.artifact import Artifact
from explorer.core.errors import SpaceError, StageFailed
from explorer.line.contracts import lower
from explorer.line.contracts.tune import Parameters, Parents
from explorer.line.stages import tune
from explorer.results.progress.trial_line import brief
from explorer.space import space
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import studies


def write_space(folder: Path, search: Mapping[str, Any] | None = None, **axes: Any) -> Path:
    """Write the space of one uncompressed network and, unless `axes` have others, one thread."""
    own = {"compression": "none", "ratio": None, "threads": 1, **axes}
    return studies.write_space(folder, models=(studies.SMALL,), algorithms=("direct",), axes=own, search=search or {})


@pytest.mark.slow
def test_untuned_and_tuned_share_all_that_a_schedule_does_not_change(tmp_path: Path) -> None:
    path = write_space(tmp_path, tuning_trials=[0, 4, 6])
    workspace, events = Workspace(tmp_path / "workspace"), studies.Events()
    summary = studies.run(path, workspace.root, events)
    assert (summary.complete, summary.failed) == (3, 0), events.outcomes
    counts = studies.executions(workspace.root)
    assert {name: counts[name] for name in ("train", "lower", "tune", "evaluate")} == {
        "train": 1, "lower": 1, "tune": 2, "evaluate": 1,
    }  # fmt: skip
    store = Store(workspace.artifacts)
    tuned = [store.find("tune", path.parent.name) for path in (workspace.artifacts / "tune").rglob("meta.json")]
    values = sorted((artifact.values for artifact in tuned if artifact), key=lambda values: values["trials"])
    assert [each["trials"] for each in values] == [4, 6]
    # Whichever was tuned first, what the smaller budget takes into account is measured once.
    assert sum(each["trials"] - each["trials_on_record"] for each in values) == 6
    # What made no layer faster is not built again, and what is not confirmed to be faster is not measured.
    found = sum(each["layers_faster"] > 0 for each in values)
    assert (counts["build"], counts.get("confirm", 0)) == (1 + found, found)
    untuned, *others = sorted(Records(workspace.url).complete("grid"), key=lambda each: each[1].tuning_trials)
    for _, _, record in others:
        confirmed = record.values.get("tuned_ratio_high", 1.0) < 1
        assert (record.values["build_key"] != untuned[2].values["build_key"]) == confirmed
        assert (record.values["measure_key"] != untuned[2].values["measure_key"]) == confirmed
    measured = {record.values["measure_key"] for _, _, record in (untuned, *others)}
    assert len(Records(workspace.url).sessions.latencies()) == len(measured)
    assert any("tuned by template for 4 trials" in brief(c) for c in events.configurations.values())


@pytest.mark.nightly
def test_the_better_of_two_untuned_stacks_is_tuned(tmp_path: Path) -> None:
    halving = {"rungs": "tuning_trials", "reduction": 2}
    path = write_space(tmp_path, halving, tuning_trials=[0, 4], threads=[1, 2])
    workspace, events = Workspace(tmp_path / "workspace"), studies.Events()
    summary = studies.run(path, workspace.root, events)
    assert (summary.complete, summary.failed) == (3, 0), events.outcomes
    (tuned,) = [c for c in events.configurations.values() if c.tuning_trials]
    counts = studies.executions(workspace.root)
    assert (counts["train"], counts["lower"], counts["tune"]) == (1, 1, 1)
    found = Records(workspace.url).complete(space.load(path).name)
    latencies = {c.threads: record.values["latency_ms"] for _, c, record in found if not c.tuning_trials}
    assert tuned.threads == min(latencies, key=lambda threads: latencies[threads])


def test_a_tuner_exists_where_there_is_a_budget(tmp_path: Path) -> None:
    both = space.load(write_space(tmp_path, tuning_trials=[0, 40], tuner=["template", "generated"]))
    assert [(c.tuning_trials, c.tuner) for c in both.configurations()] == [
        (0, None), (40, "template"), (40, "generated"),
    ]  # fmt: skip
    timed = space.load(write_space(tmp_path, tuning_seconds=[0, 60]))
    assert [(c.tuning_seconds, c.tuner) for c in timed.configurations()] == [(0, None), (60, "template")]
    assert "tuned by template for 60 s" in brief(list(timed.configurations())[1])


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            {"tuning_trials": 40, "tuner": "templte"},
            "unknown tuner 'templte' on axis tuner; allowed: generated, template; did you mean 'template'?",
        ),
        ({"tuning_trials": -1}, "tuning_trials -1 is below 0"),
        ({"tuner": "generated"}, "no tuning_trials and tuning_seconds of the space takes a tuner"),
    ],
)
def test_a_tuner_that_makes_no_sense_is_refused(tmp_path: Path, axes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError) as error:
        space.load(write_space(tmp_path, **axes))
    assert message in str(error.value)


def test_a_tuner_that_refuses_the_target_is_not_applicable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generated, "refuses", lambda target: f"tuner generated has no rules for {target.kind.name}")
    target = {"kind": "cuda", "arch": "sm_87", "host": {"kind": "llvm", "mcpu": "x86-64-v3", "num-cores": 2}}
    parameters = Parameters(
        tuner="generated", tuning_trials=4, tuning_seconds=0, target=target, threads=1, device="gpu"
    )
    lowered: Artifact[lower.Values] = Artifact("lower", "", tmp_path)
    with pytest.raises(StageFailed, match="tuner generated has no rules for cuda") as failed:
        tune.run(parameters, Parents(lower=lowered), tmp_path)
    assert failed.value.failure.kind == "not_applicable"
