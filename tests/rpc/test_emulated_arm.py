"""Networks on 64-bit Arm, from training to measuring: compiled here, linked, compared and timed on an emulated server.

The server is reached through its tracker and an entry of a devices file, as a board's is. What it computes is what an
Arm processor does; how long it takes says nothing of one.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import explorer
from explorer.core.errors import ExplorerError
from explorer.workspace.store import Store
from explorer.workspace.workspace import Workspace
from tests import emulated_arm, studies

if TYPE_CHECKING:
    import pandas as pd

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(2400)]

MODELS = "mobilenetv1", "resnet18"
ALGORITHMS = "direct", "gemm", "spatial_pack", "auto"
# Study → its algorithms and other axes.
STUDIES: Mapping[str, tuple[Sequence[str], Mapping[str, Any]]] = {
    "dense": ((*ALGORITHMS, "winograd"), {"compression": ["none", "float16", "int8"], "ratio": None}),
    "csr": (ALGORITHMS, {"compression": "weight_pruning", "ratio": 0.5, "format": "csr"}),
}
EPOCHS = 8  # a network that answers alike to all images would hide a wrong kernel
ONCE = {"sessions": 1, "most_sessions": 1}
# How far outputs may lie from the reference, as a share of its range: it is torch's in float32, which float16 rounds
# more than, and of int8 what NumPy makes of the very same integers.
ALLOWED = {"float32": 1e-4, "float16": 0.05, "int8": 0.05}
# Type → the instruction that multiplies and adds in it on a processor with arithmetic in half and dot products.
INSTRUCTIONS = {"float32": r"fmla\s+v\d+\.4s", "float16": r"fmla\s+v\d+\.8h", "int8": r"sdot\s+v\d+\.4s"}


@dataclass(frozen=True)
class Emulated:
    """A workspace with studies on an emulated device, whose server runs, and the devices file that has it."""

    workspace: Path
    devices: Path
    system: emulated_arm.System

    @property
    def frame(self) -> pd.DataFrame:
        """One row per trial of all studies, with ``error``: how far outputs on the device lie from the reference."""
        import pandas as pd

        found = []
        for study in STUDIES:
            with explorer.open(self.workspace, study) as opened:
                rows = opened.frame
                first = [opened.records.measurements.of(key, "arm")[0]["details"] for key in rows["measure_key"]]
                found.append(rows.assign(error=[details["relative_error"] for details in first]))
        return pd.concat(found, ignore_index=True)


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    folder = tmp_path_factory.mktemp("arm")
    try:
        system = emulated_arm.installed()
    except emulated_arm.Missing as missing:
        pytest.skip(str(missing))
    with emulated_arm.server(system) as tracker:
        made = Emulated(folder / "workspace", folder / "devices.toml", system)
        made.devices.write_text(emulated_arm.entry(tracker))
        for name, (algorithms, axes) in STUDIES.items():
            axes = {**axes, "device": "arm", "threads": 1}
            space = studies.write_space(folder, name, MODELS, algorithms, EPOCHS, axes, measure=ONCE)
            studies.run(space, made.workspace, studies.Events())
        yield made


def test_every_algorithm_computes_on_arm_what_the_reference_does(emulated: Emulated) -> None:
    found = emulated.frame
    print(found[["model", "compression", "algorithm", "format", "dtype", "error", "latency_ms"]].to_string())
    assert set(found["state"]) == {"complete"}, found["failure"].dropna().to_list()
    kinds = {("dense", dtype, algorithm) for dtype in ALLOWED for algorithm in ALGORITHMS}
    kinds |= {("csr", "float32", algorithm) for algorithm in ALGORITHMS} | {("dense", "float32", "winograd")}
    ran = {*zip(found["model"], found["format"], found["dtype"], found["algorithm"], strict=True)}
    assert ran == {(model, *kind) for model in MODELS for kind in kinds}
    assert (found["convolutions_as_asked"] > 0).all()
    assert (found["accuracy"] > 0.7).all()
    assert (found["error"] <= found["dtype"].map(ALLOWED)).all()


@pytest.mark.parametrize("dtype", INSTRUCTIONS)
def test_libraries_have_the_instructions_of_the_target(emulated: Emulated, dtype: str, tmp_path: Path) -> None:
    found = emulated.frame
    chosen = found[(found["dtype"] == dtype) & (found["algorithm"] == "gemm") & (found["format"] == "dense")]
    assert len(chosen) == len(MODELS)
    for key in chosen["build_key"]:
        built = Store(Workspace(emulated.workspace).artifacts).find("build", key)
        assert built
        with tarfile.open(built.path / "network.tar") as packed:
            packed.extractall(tmp_path / key, filter="data")
        objects = map(str, (tmp_path / key).glob("*.o"))
        assert re.search(INSTRUCTIONS[dtype], emulated.system.printed("usr/bin/objdump", "--disassemble", *objects))


def test_its_check_finds_what_a_study_needs(emulated: Emulated) -> None:
    answers = explorer.check_device("arm", emulated.devices)
    assert (answers.refusal, answers.compiler, answers.control, answers.emulated) == ("", True, "", True)
    assert answers.says.architecture == "aarch64"
    assert answers.says.mcpu == emulated_arm.CPU
    assert {"asimddp", "asimdhp"} <= set(answers.says.instruction_sets or ())


def test_its_latencies_are_marked_for_good(emulated: Emulated) -> None:
    emulated.devices.unlink()
    assert emulated.frame["latency_emulated"].eq(True).all()
    with pytest.raises(ExplorerError, match="the study was measured on emulated devices alone: arm; name one"):
        explorer.best(1e9, workspace=emulated.workspace)
    assert explorer.best(1e9, "arm", workspace=emulated.workspace).stack
