from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import explorer
from explorer.bundles import manifest as files
from explorer.bundles.samples import Samples, normalised
from explorer.core.errors import ExplorerError
from explorer.line.checking.reference import Reference
from explorer.workspace.database.records import Record
from explorer.workspace.store import Store
from tests.explorer.bundles.rewritten import INT8
from tests.explorer.command import answer, dlas
from tests.explorer.searched import searched

pytestmark = pytest.mark.slow  # two studies, which other tests share, come first

OTHERS = {"Makefile", "bundle.h", "example.cpp", "run.py", files.PIXELS, files.EXPECTED}


def test_a_manifest_says_what_is_on_record(bundles: Path, striped: Path) -> None:
    found = files.read(bundles / INT8)
    with explorer.open(striped) as study:
        ((_, configuration, record),) = study.records.complete("striped")
        row = {**record.values, **configuration.as_dict()}
        (first, *_) = study.records.measurements.of(row["measure_key"], "local")
    assert (found.study, found.trial, found.dtype, found.device.name) == ("striped", 0, "int8", "local")
    assert {name: row[name] for name in found.stack} == found.stack
    assert (found.device.threads, found.input.shape, found.output.shape) == (2, (3, 2, 12, 10), (3, 2))
    assert (found.accuracy.validation, found.accuracy.test) == (row["accuracy"], row["test_accuracy"])
    latency = found.latency
    assert [latency.median_ms, latency.low_ms, latency.high_ms] == [
        row[name] for name in ("latency_ms", "latency_low_ms", "latency_high_ms")
    ]
    assert found.samples.relative_error == first["details"]["relative_error"]
    assert (found.samples.tolerance, latency.samples, latency.sample_ms) == (0.2, 10, 0.5)
    assert found.output.class_names == ("horizontal", "vertical")


def test_a_machine_like_the_target_has_a_shared_library(bundles: Path) -> None:
    found = files.read(bundles / INT8)
    assert (found.library.file, found.library.link) == (files.SHARED, None)
    assert set(found.files) == {files.SHARED, *OTHERS}
    assert {file.name for file in (bundles / INT8).iterdir()} == {*found.files, files.MANIFEST}


def test_samples_are_test_images_with_the_outputs_of_the_network_that_was_lowered(bundles: Path, striped: Path) -> None:
    with explorer.open(striped) as study:
        row = study.trial(0).row
    store = Store(striped / "artifacts")
    data, network = store.find("data", str(row["data_key"])), store.find("quantize", str(row["network_key"]))
    assert data
    assert network
    samples = Samples.load(bundles / INT8)
    assert len(samples.pixels) == 15, "whole batches of 3"
    assert np.array_equal(samples.pixels, np.load(data.path / "test.npy")[:15])
    reference = Reference.load(network.path)
    taken = files.read(bundles / INT8).input
    assert np.array_equal(normalised(samples.pixels, taken), reference.images[:15])
    assert np.array_equal(samples.expected, reference.logits[:15])


def test_there_are_whole_batches_of_samples_where_images_are_few(bundles: Path) -> None:
    taken = files.read(bundles / INT8).input.model_copy(update={"shape": (40, 2, 12, 10)})
    pixels = Samples.load(bundles / INT8).pixels
    reference = Reference(normalised(pixels, taken), np.arange(30, dtype=np.float32).reshape(15, 2))
    samples = Samples.of(reference, taken)
    assert np.array_equal(samples.pixels, np.concatenate([pixels, pixels, pixels[:10]]))
    assert np.array_equal(samples.expected[15:30], reference.logits)


def test_the_command_says_what_there_is(undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("-w", undisturbed / "workspace", "--space", undisturbed / "small.toml")
    (tmp_path / "empty").mkdir()
    printed = answer(capsys, "bundle", 1, "-o", tmp_path / "empty", *options)
    manifest = files.read(tmp_path / "empty").model_dump(mode="json")
    assert printed == {"path": str(tmp_path / "empty"), "manifest": manifest}
    assert manifest["trial"] == 1
    assert (tmp_path / "empty").stat().st_mode & 0o777 == 0o755
    assert dlas("bundle", 1, "-o", tmp_path / "empty", *options) == 2
    assert "exists already and is no empty folder; name another one with -o" in capsys.readouterr().err
    assert dlas("bundle", 1, "--output", tmp_path / "other", *options) == 0
    text = capsys.readouterr().out
    for part in ("Trial 1 of study 'small'", "8 files", files.SHARED, "95 % interval", "dlas verify"):
        assert part in text


def test_object_files_come_with_the_command_that_links_them(striped: Path, tmp_path: Path) -> None:
    """As for a board: the target says another architecture."""
    shutil.copytree(striped.parent, tmp_path / "study")
    workspace = tmp_path / "study" / "workspace"
    with explorer.open(workspace) as study:
        lower = Store(workspace / "artifacts").find("lower", str(study.trial(0).row["lower_key"]))
    assert lower
    placement = json.loads((lower.path / "placement.json").read_text())
    placement["target"] = {"kind": "llvm", "mtriple": "riscv64-linux-gnu"}
    (lower.path / "placement.json").write_text(json.dumps(placement))
    meta = json.loads((lower.path / "meta.json").read_text())
    meta["files"]["placement.json"] = files.digest_of(lower.path / "placement.json")
    for name in ("sizes", "digest"):  # as artifacts of an earlier explorer lack them
        del meta[name]
    (lower.path / "meta.json").write_text(json.dumps(meta))
    made = explorer.bundle(0, tmp_path / "bundle", workspace)
    assert made.library.file == files.OBJECTS
    assert set(made.files) == {files.OBJECTS, *OTHERS}
    assert made.library.link
    assert "-o network.so" in made.library.link


def test_what_cannot_be_bundled_is_said_in_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, records = searched(tmp_path)
    (_, c, record), *_ = records.complete("drawn")
    values = {**record.values, "data_key": "0" * 64}
    records.add_trial("drawn", 20, replace(c, device="local+board"), Record(values), 1.0)
    records.add_trial("drawn", 21, replace(c, threads=3), Record({**values, "network_key": "0" * 64}), 1.0)
    for trial, options, message in (
        (4, (), "trial 4 is failed and has no network to bundle (at stage measure: trial 4 [died])"),
        (99, (), "study 'drawn' has no finished trial 99; its last is 21"),
        (3, (), "trial 3 was put on record without its data_key, by an earlier explorer; run its space in a new"),
        (20, (), "trial 20 is on local+board, and a bundle is for one device"),
        (21, (), "trial 21 lacks its artifact of stage data (there is no "),
        (3, ("--space", "quickstart"), "is the space of study 'quickstart', not of 'drawn'"),
        (3, ("--study", "drawm"), "did you mean 'drawn'?"),
    ):
        assert dlas("bundle", trial, "-o", tmp_path / "bundle", "-w", place.root, *options) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.count("\n") == 1
        assert not (tmp_path / "bundle").exists()


def test_a_damaged_artifact_is_not_bundled(striped: Path, tmp_path: Path) -> None:
    shutil.copytree(striped.parent, tmp_path / "study")
    workspace = tmp_path / "study" / "workspace"
    (library,) = (workspace / "artifacts" / "build").glob("*/*/network.tar")
    library.write_bytes(library.read_bytes()[:-1])
    with pytest.raises(ExplorerError, match=re.escape(f"({library} does not match its digest)")):
        explorer.bundle(0, tmp_path / "bundle", workspace)
    assert {path.name for path in tmp_path.iterdir()} == {"study"}, "nothing that is half done stays"
