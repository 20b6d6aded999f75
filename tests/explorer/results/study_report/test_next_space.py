"""The next space is one that `dlas spaces` accepts, with the choices of the fronts, what answers need, and settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given

from explorer.results.study_report import next_space
from explorer.results.study_report.answer import Needs
from explorer.results.study_report.report import Report
from explorer.space import space
from tests.explorer.command import dlas
from tests.explorer.frames import complete, failed, frame_of, study
from tests.explorer.results.study_report.studies import FEWER, OBJECTIVES, drawn, evidence, seeds


def written(tmp_path: Path, frame: pd.DataFrame, *needs: Needs, source: Path | None = None) -> Any:
    found = next_space.write(tmp_path / "next.toml", evidence(frame), needs, source)
    assert found is not None
    loaded = space.load(found.path, to_run=False)
    assert loaded.count == found.configurations > 0
    return loaded


@FEWER
@given(seeds)
def test_it_is_accepted_and_has_what_the_answers_need(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    frame = drawn(seed)
    report = Report.of(evidence(frame))
    loaded = written(tmp_path_factory.mktemp("next"), frame, *report.needs)
    fronts = report.evidence.fronts
    for axis in ("model", "algorithm", "compression", "format", "device"):
        assert set(fronts[axis]) <= set(loaded.axes[axis].choices)
    for needs in report.needs:
        for axis, choices in needs.axes.items():
            assert set(choices) <= set(loaded.axes[axis].choices)
    assert loaded.objectives == OBJECTIVES


@pytest.mark.parametrize(
    "frame",
    [
        study(),
        study(("local", "rpi4")),
        frame_of(failed(0)),
        frame_of(complete(0, 0.9, 1.0, tuning_trials=64, tuner="template")),
    ],
)
def test_a_report_of_any_study_has_one(tmp_path: Path, frame: pd.DataFrame) -> None:
    report = Report.of(evidence(frame))
    page = report.write(tmp_path / "page.html")
    assert space.load(page.with_name("page-next.toml"), to_run=False).count
    assert dlas("spaces", page.with_name("page-next.toml")) == 0


def test_csr_brings_the_pruning_that_it_needs(tmp_path: Path) -> None:
    frame = frame_of(complete(0, 0.9, 1.0))
    loaded = written(tmp_path, frame, Needs({"format": ("dense", "csr")}, "x"))
    assert loaded.axes["compression"].choices == ("none", "weight_pruning")
    assert loaded.axes["ratio"].choices == (0.5, 0.75)


def test_what_no_configuration_can_have_is_left_out(tmp_path: Path) -> None:
    frame = frame_of(complete(0, 0.9, 1.0, algorithm="winograd", compression="int8"))
    loaded = written(tmp_path, frame, Needs({"format": ("dense", "csr"), "algorithm": ("direct",)}, "x"))
    assert set(loaded.axes["algorithm"].choices) <= {"winograd", "direct"}


def test_settings_and_constraints_of_the_studys_space_stay(tmp_path: Path) -> None:
    source = tmp_path / "source.toml"
    source.write_text(
        '[axes]\ndataset = "digits"\nmodel = ["resnet18", "vgg16"]\nthreads = [1, 2, 4]\n[train]\nepochs = 3\n'
        "[search]\nseed = 5\n"
        '[[constraints]]\nwhen = { model = "resnet18" }\nrequire = { threads = [1, 2] }\n'
        '[[constraints]]\nwhen = { model = "vgg16" }\nrequire = { threads = 4 }\n'
    )
    frame = frame_of(complete(0, 0.9, 1.0, threads=1), complete(1, 0.95, 2.0, threads=2))
    loaded = written(tmp_path, frame, Needs({"threads": (4,)}, "x"), source=source)
    assert loaded.settings.train.epochs == 3
    assert {each.threads for each in loaded.configurations()} == {1, 2}, "4 is for vgg16 alone"
    assert written(tmp_path, frame, source=tmp_path / "gone.toml").settings.train.epochs != 3


def test_where_nothing_is_lacking_it_tries_what_explains_most(tmp_path: Path) -> None:
    shares = pd.DataFrame(
        {
            "target": "log latency",
            "by": "axis",
            "factor": ["threads", "algorithm", "model"],
            "with": "",
            "share": [0.5, 0.3, 0.2],
        }
    )
    needs = next_space.further(evidence(study()), shares)
    assert needs is not None
    assert set(needs.axes["algorithm"]) == {"auto", "winograd"}
    assert set(written(tmp_path, study(), needs).axes["algorithm"].choices) > {"auto", "winograd"}


def test_many_numbers_are_thinned_out(tmp_path: Path) -> None:
    rows = [complete(i, 0.5 + 0.01 * i, 1.0 + i, width=round(0.1 + 0.05 * i, 2)) for i in range(12)]
    assert written(tmp_path, frame_of(*rows)).axes["width"].choices == (0.1, 0.3, 0.45, 0.65)
