"""Studies in narrow dtypes: one float32 network for all, and the accuracy of what is stored in fewer bits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tvm

import explorer
from dlas_ops.kernels.algorithms import gemm as kernels
from dlas_ops.processor.dot import dot_of
from dlas_ops.processor.targets import describe, native_target
from explorer.core.artifact import Artifact
from explorer.core.errors import StageFailed
from explorer.core.settings import MeasureSettings
from explorer.line import contracts
from explorer.line.contracts.on_device import Address
from explorer.line.stages import measure
from explorer.line.trials import dry_run
from explorer.processes import loopback
from explorer.space import space
from explorer.workspace.database.records import Records
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.conftest import Once, Ran

pytestmark = pytest.mark.slow

PRUNED = "channel_pruning+weight_pruning"
COMPRESSIONS = ["none", "float16", "bfloat16", "int8", PRUNED, f"{PRUNED}+int8"]


@pytest.fixture(scope="module")
def narrow(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one network in four dtypes."""
    return once.ran("narrow", run, tmp_path_factory.mktemp("narrow")).workspace


def run(folder: Path) -> Ran:
    path = studies.write_space(
        folder,
        name="narrow",
        models=("tests.custom_plugins:stacked",),
        algorithms=("gemm",),
        epochs=2,
        axes={"compression": COMPRESSIONS, "threads": 1, "width": 1.0},
    )
    ran = Ran(path, folder / "workspace", studies.Events())
    summary = studies.run(ran.space, ran.workspace, ran.events)
    assert (summary.complete, summary.failed) == (6, 0)
    return ran


@pytest.fixture(scope="module")
def gemm(narrow: Path) -> pd.DataFrame:
    return Records(Workspace(narrow).url).frame("narrow").set_index("compression")


def test_dtypes_share_the_float32_network(narrow: Path, gemm: pd.DataFrame) -> None:
    executed = studies.executions(narrow)
    assert {name: executed[name] for name in ("data", "train", "compress", "quantize")} == {
        "data": 1,
        "train": 1,
        "compress": 2,
        "quantize": 2,
    }
    assert gemm["compress_key"].nunique() == 2
    assert gemm["dtype"].to_list() == ["float32", "float16", "bfloat16", "int8", "float32", "int8"]


def test_stages_are_executed_as_often_as_counted(narrow: Path) -> None:
    counts = dry_run.count(space.load(narrow.parent / "narrow.toml"))
    executed = studies.executions(narrow)
    assert {each.stage for each in counts} == set(executed) - {"control"}
    for each in counts:
        if each.stage == "measure":
            assert executed[each.stage] >= 2 * each.distinct, "in several sessions"
            continue
        assert executed[each.stage] == each.distinct
        assert not each.at_most


def test_the_accuracy_is_that_of_the_dtype(narrow: Path, gemm: pd.DataFrame) -> None:
    assert (gemm["agreement"] >= 0.95).all()
    assert gemm.loc[["none", "channel_pruning+weight_pruning"], "agreement"].eq(1).all()
    assert (gemm["accuracy"] - gemm["torch_accuracy"]).abs().max() < 0.03
    assert gemm["evaluate_key"].nunique() == 6


def test_fewer_bits_take_less_room(gemm: pd.DataFrame) -> None:
    size, each = gemm["size_bytes"], gemm["weight_bytes"] / gemm["weights"]
    # Channels are padded to whole vectors. Bytes are multiplied as they are, or as pairs of 16 own.
    int8 = np.dtype(dot_of("int8", describe(tvm.target.Target(native_target()))).weight).itemsize
    stored = {"none": 4, "float16": 2, "bfloat16": 2, "int8": int8}
    assert all(own <= each[dtype] < 1.05 * own for dtype, own in stored.items())
    # How much code there is for a dtype depends on the processor, too, and so narrow a network is half code.
    assert max(size["int8"], size["float16"], size["bfloat16"]) < size["none"]
    assert size["channel_pruning+weight_pruning+int8"] < size["channel_pruning+weight_pruning"]


def test_every_convolution_is_stored_in_the_dtype(narrow: Path, gemm: pd.DataFrame) -> None:
    for number, dtype in zip(gemm["number"], gemm["dtype"], strict=True):
        layers = explorer.layers(number, narrow, "narrow")
        convolutions = [layer for layer in layers if layer["operator"] == "conv2d"]
        assert len(convolutions) == 3
        assert {layer["dtype"] for layer in convolutions} == {dtype}
        assert all(layer["ran"] == "gemm/dense" for layer in convolutions)


def test_outputs_on_the_device_are_compared_with_those_of_the_quantized_network(
    narrow: Path, gemm: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, pack = Store(Workspace(narrow).artifacts), kernels.pack
    build = store.find("build", str(gemm.loc["int8", "build_key"]))
    lower = store.find("lower", str(gemm.loc["int8", "lower_key"]))
    assert build
    assert lower
    found = [store.find("quantize", path.name) for path in (Workspace(narrow).artifacts / "quantize").glob("*/*")]
    networks = [network for network in found if network]
    assert len(networks) == 2
    protocol = MeasureSettings()
    with loopback.server("local", sorted(os.sched_getaffinity(0)), tmp_path / "log") as tracker:
        parameters = contracts.measure.Parameters(
            1, 10, 0.5, 0.5, protocol.allowed("int8"), address=Address(tracker=tracker, key="local")
        )

        def said(network: Artifact) -> str:
            """Return why the library is not measured where it is taken for `network`'s, "" if it is."""
            parents = contracts.measure.Parents(network, lower, build)
            try:
                values = measure.run(parameters, parents, tmp_path)
            except StageFailed as failed:
                return f"{failed.failure.kind}: {failed.failure.message}"
            error = values["relative_error"]
            assert error is not None
            assert error <= protocol.allowed("int8")
            return ""

        (other,) = (network for network in networks if said(network))
        message = said(other)
        assert message.startswith("wrong_output: outputs differ from those of the quantized network in NumPy by")
        assert "compiled once more the network computes what it should" in message
        monkeypatch.setattr(kernels, "pack", lambda weight, conv, cpu: pack(weight // 2, conv, cpu))
        assert "outputs part in layer '0.weight' (gemm/dense, int8), at its Conv" in said(other)
