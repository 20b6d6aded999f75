"""How often stages are executed: as often as a real study does, and as often as one can work out by hand."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from explorer.core.artifact import Artifact
from explorer.core.configuration import AXES, Configuration
from explorer.core.errors import SpaceError
from explorer.core.settings import CompressSettings, Settings
from explorer.line import contracts
from explorer.line.trials import dry_run, trial
from explorer.space import space
from explorer.space.axes import Axis
from explorer.space.space import Space
from tests import ROOT, studies
from tests.conftest import Ran
from tests.explorer.spaces import SMALL, make, write
from tests.typed_stages import made

# 1 + 4 networks of one model: none, and two compressions at two ratios.
NETWORKS = 5
ONE_MODEL: Mapping[str, Any] = {**SMALL, "model": "resnet18", "algorithm": "gemm", "threads": 1}


def distinct(counted: Space) -> dict[str, int]:
    return {each.stage: each.distinct for each in dry_run.count(counted)}


def bounds(counted: Space) -> set[str]:
    return {each.stage for each in dry_run.count(counted) if each.at_most}


def only(whole: Space, configuration: Configuration) -> Space:
    """Return the space of one configuration of `whole`."""
    values = {name: value for name, value in configuration.as_dict().items() if value is not None}
    return dataclasses.replace(whole, axes={**whole.axes, **{name: Axis(name, (v,)) for name, v in values.items()}})


def with_devices(folder: Path, axes: Mapping[str, Any], entries: str, *names: str) -> Space:
    (folder / "devices.toml").write_text(entries)
    return space.load(write(folder, {**axes, "device": names}), to_run=False)


@pytest.mark.slow
def test_a_real_grid_executes_as_often_as_counted(grid: Ran) -> None:
    counts = dry_run.count(space.load(grid.space))
    executed = studies.executions(grid.workspace)
    assert executed.pop("control") == 1, "of the device, and on nobody's line"
    counted = {each.stage: each.distinct for each in counts}
    assert executed.pop("measure") >= 2 * counted.pop("measure"), "in several sessions"
    assert counted == executed
    assert not any(each.at_most for each in counts)
    assert {each.alone for each in counts} == {16}


@pytest.mark.parametrize(
    ("compression", "ratio", "networks"), [("none", None, 1), ("int8", None, 1), ("weight_pruning", 0.5, 3)]
)
def test_only_what_is_fine_tuned_depends_on_how(compression: str, ratio: float | None, networks: int) -> None:
    engine = dry_run.CountingEngine({})
    for changed in ({}, {"epochs": 7}, {"learning_rate": 0.01}):
        settings = Settings(compress=CompressSettings(**changed))
        trial.run(Configuration("digits", "resnet18", compression=compression, ratio=ratio), settings, engine)
    assert engine.distinct["compress"] == networks


def test_the_stages_stand_in_the_order_of_the_line(tmp_path: Path) -> None:
    axes = {**SMALL, "compression": ["none", "int8"], "algorithm": ["direct", "auto"], "tuning_trials": [0, 64]}
    del axes["ratio"]
    assert list(distinct(make(tmp_path, axes))) == [
        "data", "train", "compress", "quantize", "plan", "candidates", "select", "lower", "tune", "build", "confirm",
        "evaluate", "measure",
    ]  # fmt: skip


def test_alone_is_the_sum_over_spaces_of_one_configuration(tmp_path: Path) -> None:
    axes = {**SMALL, "compression": ["none", "channel_pruning", "int8"], "algorithm": ["gemm", "winograd", "auto"]}
    entry = '[board]\ntracker = "lan:9190"\ntarget = { kind = "llvm", mcpu = "cortex-a72" }\n'
    whole = with_devices(tmp_path, axes, entry, "local", "board")
    alone = Counter[str]()
    for configuration in whole.configurations():
        one = only(whole, configuration)
        assert list(one.configurations()) == [configuration]
        counts = dry_run.count(one)
        assert all(each.alone == each.distinct for each in counts)
        alone.update({each.stage: each.distinct for each in counts})
    assert {each.stage: each.alone for each in dry_run.count(whole)} == alone


def test_devices_of_one_target_share_all_but_the_measurement(tmp_path: Path) -> None:
    both = '[a]\ntracker = "lan:9190"\n{0}\n[b]\ntracker = "lan:9190"\n{0}\n'
    board = 'target = { kind = "llvm", mcpu = "cortex-a72" }'
    native = with_devices(tmp_path, ONE_MODEL, both.format(""), "local", "a", "b")
    assert distinct(native) == {
        "data": 1, "train": 1, "compress": NETWORKS, "lower": NETWORKS, "build": NETWORKS, "evaluate": NETWORKS,
        "measure": 3 * NETWORKS,
    }  # fmt: skip
    # Every device measures candidates of its own, and compares what they make with the rules' library.
    tuned = with_devices(tmp_path, {**ONE_MODEL, "tuning_trials": 64}, both.format(""), "local", "a", "b")
    assert {name: distinct(tuned)[name] for name in ("lower", "tune", "build", "confirm", "evaluate", "measure")} == {
        "lower": NETWORKS, "tune": 3 * NETWORKS, "build": (1 + 3) * NETWORKS, "confirm": 3 * NETWORKS,
        "evaluate": NETWORKS, "measure": 3 * NETWORKS,
    }  # fmt: skip
    # What is evaluated is compiled for this machine, too.
    boards = with_devices(tmp_path, ONE_MODEL, both.format(board), "a", "b")
    assert {name: distinct(boards)[name] for name in ("lower", "build", "evaluate", "measure")} == {
        "lower": 2 * NETWORKS, "build": 2 * NETWORKS, "evaluate": NETWORKS, "measure": 2 * NETWORKS,
    }  # fmt: skip


def test_a_device_without_an_entry_has_a_target_of_its_own(tmp_path: Path) -> None:
    unknown = with_devices(tmp_path, ONE_MODEL, "", "local", "a", "b")
    assert unknown.missing_devices == ("a", "b")
    assert distinct(unknown)["build"] == 3 * NETWORKS
    assert distinct(unknown)["evaluate"] == NETWORKS


def test_algorithms_of_equal_numerics_are_evaluated_once(tmp_path: Path) -> None:
    axes = {**ONE_MODEL, "algorithm": ["direct", "gemm", "spatial_pack"], "format": ["dense", "csr"]}
    summing = make(tmp_path, axes)
    assert distinct(summing)["evaluate"] == NETWORKS
    assert distinct(summing)["build"] == 3 * (NETWORKS + 2)
    assert not bounds(summing)
    assert distinct(make(tmp_path, {**axes, "algorithm": ["direct", "winograd"]}))["evaluate"] == 2 * NETWORKS


def test_what_selecting_decides_is_counted_at_most(tmp_path: Path) -> None:
    axes = {**ONE_MODEL, "algorithm": ["gemm", "auto"], "threads": [1, 2]}
    selecting = make(tmp_path, axes)
    assert distinct(selecting)["evaluate"] == NETWORKS + 2 * NETWORKS
    assert bounds(selecting) == {"candidates", "evaluate"}
    # In int8 nothing but the summing algorithms can be selected.
    narrow = make(tmp_path, {**{k: v for k, v in axes.items() if k != "ratio"}, "compression": "int8"})
    assert distinct(narrow)["evaluate"] == 1
    assert bounds(narrow) == {"candidates"}
    # For another device, what may have to be evaluated is compiled for this machine, too.
    assert bounds(with_devices(tmp_path, axes, "", "board")) == {"candidates", "evaluate", "build"}


def test_what_tuning_decides_is_counted_at_most(tmp_path: Path) -> None:
    """Where tuning makes no layer faster, the rules' library is the stack's, and so is its measurement."""
    axes = {**ONE_MODEL, "tuning_trials": [0, 64]}
    tuning = make(tmp_path, axes)
    assert bounds(tuning) == {"build", "confirm", "measure"}
    assert {name: distinct(tuning)[name] for name in ("tune", "build", "confirm", "measure")} == {
        "tune": NETWORKS, "build": 2 * NETWORKS, "confirm": NETWORKS, "measure": 2 * NETWORKS,
    }  # fmt: skip
    assert not bounds(make(tmp_path, {**axes, "tuning_trials": 0}))
    engine = NothingFound(tuning.devices)
    for configuration in tuning.configurations():
        trial.run(configuration, tuning.settings, engine)
    assert {name: engine.distinct[name] for name in ("tune", "build", "confirm", "measure")} == {
        "tune": NETWORKS, "build": NETWORKS, "confirm": 0, "measure": NETWORKS,
    }  # fmt: skip


class NothingFound(dry_run.CountingEngine):
    """Counts tunings that make no layer faster."""

    def tune(self, stage: contracts.tune.Stage, device: str) -> Artifact[contracts.tune.Values]:
        super().tune(stage, device)
        return made("tune", stage.key, layers_faster=0)


def test_vectors_whose_width_is_not_known_count_apart_from_numbers_at_most(tmp_path: Path) -> None:
    axes = {"dataset": "digits", "model": "resnet18", "compression": "channel_pruning", "ratio": 0.5}
    drawn = make(tmp_path, {**axes, "channel_multiple": [8, "vector"]})
    assert distinct(drawn)["compress"] == 2
    assert "compress" in bounds(drawn)
    assert "compress" not in bounds(make(tmp_path, {**axes, "channel_multiple": [8, 16]}))


def test_batches_share_all_but_what_is_lowered(tmp_path: Path) -> None:
    whole = make(tmp_path, {**ONE_MODEL, "batch": [1, 4, 16]})
    assert distinct(whole) == {
        "data": 1, "train": 1, "compress": NETWORKS, "lower": 3 * NETWORKS, "build": 3 * NETWORKS,
        "evaluate": NETWORKS, "measure": 3 * NETWORKS,
    }  # fmt: skip
    assert bounds(whole) == set()
    # The tiles of its transforms, and so its rounding, follow from the batch.
    winograd = make(tmp_path, {**ONE_MODEL, "algorithm": "winograd", "batch": [1, 4]})
    assert distinct(winograd)["evaluate"] == 2 * NETWORKS
    assert bounds(winograd) == {"evaluate"}
    selected = make(tmp_path, {**ONE_MODEL, "algorithm": "auto", "batch": [1, 4]})
    assert [distinct(selected)[stage] for stage in ("plan", "select", "lower")] == [2 * NETWORKS] * 3


def test_a_continuous_axis_cannot_be_counted(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="ratio is continuous; give its range a step"):
        dry_run.count(make(tmp_path, {**SMALL, "ratio": {"low": 0.3, "high": 0.9}}))


def test_the_papers_grid_is_what_the_page_says() -> None:
    paper = space.load(Path("dlas_paper"), to_run=False)
    assert {name: len(paper.axes[name].choices) for name in AXES} == {
        "dataset": 2, "model": 7, "width": 1, "compression": 5, "ratio": 7, "channel_multiple": 1, "max_drop": 1,
        "algorithm": 3, "format": 2, "batch": 1, "tuning_trials": 2, "tuning_seconds": 1, "tuner": 1, "threads": 2,
        "device": 4,
    }  # fmt: skip
    pairs = {(c.dataset, c.model) for c in paper.configurations()}
    assert len(pairs) == 8  # MobileNetV2 is on both data sets
    assert {c.compression for c in paper.configurations() if c.format == "csr"} == {"weight_pruning"}
    ratios = {name: {c.ratio for c in paper.configurations() if c.compression == name} for name in ("none", "int8")}
    assert ratios == {"none": {None}, "int8": {None}}

    removed = 5 + 4  # ratios of weight_pruning and of channel_pruning
    float32, networks = 8 * (1 + removed), 8 * (1 + removed + 2)
    lowered = 3 * (networks + 8 * 5)  # csr besides dense
    assert paper.count == lowered * 2 * 4
    counts = dry_run.count(paper)
    assert bounds(paper) == {"build", "confirm", "measure"}
    assert {each.stage: each.distinct for each in counts} == {
        "data": 2, "train": 8, "compress": float32, "quantize": 8,
        "lower": lowered * (4 + 1), "tune": lowered * 4, "build": lowered * 2 * 4 + networks, "confirm": lowered * 4,
        "evaluate": networks, "measure": paper.count,
    }  # fmt: skip
    page = [line.split() for line in (ROOT / "docs" / "search-spaces.md").read_text().splitlines()]
    for each in counts:
        bound = ["at", "most"] if each.at_most else []
        assert [each.stage, f"{each.alone:,}", *bound, f"{each.distinct:,}"] in page


def test_the_bundled_cifar10_runs_here() -> None:
    cifar10 = space.load(Path("cifar10"))
    assert {c.device for c in cifar10.configurations()} == {"local"}
    assert {c.ratio for c in cifar10.configurations() if c.format == "csr"} == {0.9}
    assert cifar10.trials < cifar10.count


def test_counting_imports_neither_torch_nor_tvm() -> None:
    code = (
        "import sys; from explorer import cli\n"
        "try: cli.main(['spaces', 'quickstart'])\n"
        "except SystemExit as end: print(end.code, {'torch', 'tvm', 'optuna'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "0 set()"
