"""Studies on this machine's first OpenCL device over a real loopback server, and devices that have no such GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import explorer
from explorer.line.probing.answers import Answers, Gpu
from explorer.processes import loopback
from tests import forks, opencl, studies
from tests.boards import board
from tests.explorer.command import answer, dlas

TRIALS = 6
GPU = '[gpu]\ntarget = { kind = "opencl", device = "pocl" }\n'


def written(folder: Path, entry: str = GPU, **axes: Any) -> Path:
    """Write a space over this machine's processor and its OpenCL device."""
    (folder / "devices.toml").write_text(entry)
    choices = {"compression": "none", "ratio": None, "threads": 1, "device": ["local", "gpu"], **axes}
    return studies.write_space(folder, "gpus", [studies.SMALL], ["direct"], axes=choices)


class Killer(studies.Events):
    """Kills the loopback servers once every device has said what it is."""

    killed = 0

    def started(self, worker: str, stage: str) -> None:
        super().started(worker, stage)
        if stage == "train" and not self.killed:
            servers = forks.running("explorer.processes.loopback")
            self.killed = len(servers)
            for server in servers:
                server.kill()


@opencl.needed
@pytest.mark.slow
def test_a_study_over_both_has_two_fronts_from_one_training_of_each_network(tmp_path: Path) -> None:
    events, workspace = Killer(), tmp_path / "workspace"
    space = written(tmp_path, width=[0.5, 1.0])
    summary = studies.run(space, workspace, events)
    assert (summary.complete, summary.failed) == (4, 0), [*events.outcomes.values()]
    assert events.killed == 2
    assert {f"the server of device '{name}' is gone; starting it again" for name in ("local", "gpu")} <= {*events.notes}
    assert not any("runs no control" in note for note in events.notes)
    executed = studies.executions(workspace)
    assert (executed["train"], executed["evaluate"], executed["build"]) == (2, 2, 4)
    found = explorer.front(workspace)
    assert set(found["device"]) == {"local", "gpu"}


@opencl.needed
@pytest.mark.slow
def test_a_tuned_stack_comes_to_its_end_beside_the_one_by_the_rules(tmp_path: Path) -> None:
    """All candidates compile, compute what the rules' schedule does, and are timed, and so are the networks."""
    events, workspace = studies.Events(), tmp_path / "workspace"
    space = written(tmp_path, device="gpu", tuner="template", tuning_trials=[0, TRIALS])
    summary = studies.run(space, workspace, events)
    assert (summary.complete, summary.failed) == (2, 0), [*events.outcomes.values()]
    (file,) = (workspace / "artifacts" / "tune").glob("*/*/tuned.json")
    layers = json.loads(file.read_text())
    assert sum(layer["trials"] for layer in layers) == TRIALS
    assert [layer["failed"] for layer in layers] == [{}] * len(layers)
    assert all(0 < layer["ms"] <= layer["rule_ms"] for layer in layers)
    faster = any(layer["decision"] for layer in layers)
    executed = studies.executions(workspace)
    assert (executed["train"], executed["lower"], executed["tune"], executed["build"]) == (1, 2, 1, 2 + faster)
    with explorer.open(workspace) as study:
        tuned = study.frame["tuning_trials"] > 0
        assert study.frame.loc[tuned, "tuned_ratio"].notna().all() == faster
        assert (study.frame["latency_ms"] > 0).all()


@opencl.needed
@pytest.mark.nightly
def test_a_network_is_tuned_by_generated_schedules(tmp_path: Path) -> None:
    space, workspace = written(tmp_path, device="gpu", tuning_trials=12, tuner="generated"), tmp_path / "workspace"
    assert dlas("run", space, "-w", workspace) == 0
    (tuned,) = workspace.rglob("tuned.json")
    layers = json.loads(tuned.read_text())
    assert sum(layer["trials"] for layer in layers) == 12
    assert {"depthwise_conv2d", "global_avg_pool2d"} <= {name for layer in layers for name in layer["programs"]}
    assert any(layer["candidate_ms"] for layer in layers)


@opencl.needed
def test_a_gpu_with_less_than_its_target_claims_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claimed = '[gpu]\ntarget = { kind = "opencl", device = "pocl", max_threads_per_block = 1_000_000 }\n'
    assert dlas("run", written(tmp_path, claimed), "-w", tmp_path / "workspace") == 2
    (message,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert (
        "threads in a work-group, and its target's max_threads_per_block is 1000000; give it a target with " in message
    )
    assert studies.executions(tmp_path / "workspace") == {}


@opencl.needed
@pytest.mark.parametrize(
    ("family", "compression", "extension", "said"),
    [
        (
            "pocl",
            ["none", "float16"],
            "cl_khr_fp16",
            "whose OpenCL lacks float16 (cl_khr_fp16), and the search space asks for compression float16 there; ",
        ),
        pytest.param(
            "mali",
            ["none", "int8"],
            "cl_arm_integer_dot_product_accumulate_int8",
            "whose OpenCL lacks arm_dot_acc, and int8 for its target's device 'mali' needs that; give it a target ",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_a_type_that_a_gpu_lacks_is_refused_before_anything_is_trained(
    family: str, compression: list[str], extension: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if extension in opencl.extensions():
        pytest.skip(f"this machine's OpenCL has {extension}")
    space = written(tmp_path, GPU.replace("pocl", family), compression=compression)
    assert dlas("run", space, "-w", tmp_path / "workspace") == 2
    (message,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert said in message
    assert studies.executions(tmp_path / "workspace") == {}


def test_a_runtime_without_a_gpu_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = '[gpu]\ntarget = { kind = "cuda", arch = "sm_30" }\n'  # of no GPU that CUDA still runs on
    assert dlas("run", written(tmp_path, entry), "-w", tmp_path / "workspace") == 2
    (message,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert "CUDA" in message or "'sm_30'" in message
    assert studies.executions(tmp_path / "workspace") == {}


def test_the_processor_of_a_gpu_is_asked_as_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = '{ kind = "llvm", mtriple = "riscv64-linux-gnu" }'
    (tmp_path / "d.toml").write_text(f'[gpu]\ntarget = {{ kind = "opencl", host = {host} }}\n')
    found = answer(capsys, "devices", "--check", "gpu", "--file", tmp_path / "d.toml", code=2)["check"]
    assert "and its target is for riscv64 (mtriple 'riscv64-linux-gnu')" in found["refusal"]
    assert (found["gpu"], found["peaks"]) == (None, None)


@opencl.needed
def test_a_gpu_says_what_it_is_and_can_do_at_most(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text(GPU)
    found = explorer.check_device("gpu", tmp_path / "d.toml")
    assert (found.refusal, found.control) == ("", "")
    assert isinstance(found.gpu, Gpu)
    assert found.gpu.name
    assert found.gpu.threads
    assert found.peaks is not None
    assert 0.1 < found.peaks.gflop_s < 1e5
    assert 0.1 < found.peaks.gb_s < 1e4
    assert found.peaks.gflop_s_one_thread is None
    assert Answers.from_json(found.as_dict()) == found


@opencl.needed
def test_an_entry_for_a_gpu_is_added_by_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "devices.toml"
    with board("mine", loopback.own_cores()[:1], tmp_path / "log") as tracker:
        options = ("devices", "--add", "gpu", "--tracker", tracker, "--key", "mine", "--file", file, "--kind")
        (added,) = answer(capsys, *options, "opencl")["devices"]
        assert added["target"]["kind"] == "opencl"
        assert added["target"]["host"]["num-cores"] == 1
        assert explorer.devices.devices(file)["gpu"].is_gpu
        found = explorer.check_device("gpu", file)
        assert found.refusal == ""
        assert found.gpu is not None
        assert found.gpu.units == 1 or added["target"].get("device") != "pocl", "PoCL computes on the server's cores"
    assert dlas(*options, "opencel") == 2
    assert (
        "unknown kind 'opencel' of a target; allowed: llvm, opencl, cuda; did you mean 'opencl'?"
        in capsys.readouterr().err
    )
    assert dlas("devices", "--kind", "opencl") == 2
    assert "--key and --kind with both" in capsys.readouterr().err
