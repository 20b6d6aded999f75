"""The examples run: each as its head says, on small studies."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import explorer
from explorer import cli
from tests import ROOT, studies

EXAMPLES = ROOT / "examples"
FILES = sorted(path.relative_to(EXAMPLES) for path in EXAMPLES.rglob("*.*") if path.suffix in (".py", ".toml"))


def dlas(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Return exit code, output and errors of a command."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    output = capsys.readouterr()
    return int(ended.value.code or 0), output.out, output.err


def python(folder: Path, *arguments: object) -> str:
    """Return what a script prints."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_file_is_run_here() -> None:
    assert list(map(str, FILES)) == [
        "compile_only.py", "own_model/nets.py", "own_model/own_model.toml", "own_space.toml", "ray_tune.py",
        "regression/centres.py", "regression/regression.toml", "segmentation/segmentation.toml",
        "segmentation/shapes.py",
    ]  # fmt: skip


@pytest.mark.parametrize("file", FILES, ids=str)
def test_the_head_says_what_it_shows_and_its_command(file: Path) -> None:
    text = (EXAMPLES / file).read_text()
    head = text.split('"""')[1] if file.suffix == ".py" else text.partition("\n[")[0]
    assert head.lstrip("# ").startswith("Shows ")
    command = re.search(r"^[# ]*(?:dlas \w+|python) (examples/\S+)", head, re.MULTILINE)
    assert command
    assert (ROOT / command[1]).parent == (EXAMPLES / file).parent


@pytest.mark.slow
def test_a_model_of_the_users_own_goes_down_the_line_and_an_edit_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(EXAMPLES / "own_model", tmp_path / "folder"))
    command = ("run", folder / "own_model.toml", "--sampler", "grid", "--trials", 2)
    code, output, errors = dlas(capsys, *command)
    assert code == 0, errors
    assert output.count("nets:build x0.25") == 2
    assert "2 trials;" in output
    nets = folder / "nets.py"
    nets.write_text(nets.read_text().replace("32 * width", "64 * width"))
    code, _, errors = dlas(capsys, *command)
    assert code == 2
    assert "error: the workspace's study 'own_model' was made with other code of nets:build; choose" in errors


@pytest.mark.slow
def test_a_u_net_is_judged_by_its_miou(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(EXAMPLES / "segmentation", tmp_path / "folder"))
    space = folder / "segmentation.toml"
    text = space.read_text().replace("epochs = 10", "epochs = 4").replace("[0.5, 1.0]", "0.5")
    space.write_text(text + "\n[compress]\nepochs = 1\nbatch_size = 16\n" + studies.SHORT_MEASURING)
    shapes = folder / "shapes.py"
    shapes.write_text(shapes.read_text().replace("range(600)", "range(400)"))
    code, output, errors = dlas(capsys, "run", space, "--sampler", "grid")
    assert code == 0, errors
    assert "miou" in output
    with explorer.open("workspace") as study:
        front, frame = study.front(), study.frame.set_index("compression")
        assert study.objectives == {"miou": "maximize", "latency_ms": "minimize"}
    assert set(frame["state"]) == {"complete"}
    assert len(front)
    assert (frame["miou_low"] < frame["miou"]).all()
    assert (frame["miou"] < frame["miou_high"]).all()
    assert (frame["agreement"] > 0.99).all()
    plain, int8 = frame.loc["none"], frame.loc["int8"]
    assert plain["miou"] > 0.4, "a network that knows the background alone has 0.3"
    assert int8["miou"] == pytest.approx(plain["miou"], abs=0.05)
    assert plain["test_miou"] == pytest.approx(plain["miou"], abs=0.1)
    assert "accuracy" not in frame.columns


@pytest.mark.slow
def test_an_error_in_numbers_is_minimised_and_its_code_trains_nothing_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(shutil.copytree(EXAMPLES / "regression", tmp_path / "folder"))
    space = folder / "regression.toml"
    text = space.read_text().replace("[0.5, 1.0, 2.0]", "0.5").replace('"none", "weight_pruning"', '"none"')
    text = text.replace('"int8"]\nratio = 0.5', '"int8"]')
    space.write_text(text + studies.SHORT_MEASURING)
    code, output, errors = dlas(capsys, "run", space, "--sampler", "grid")
    assert code == 0, errors
    assert "pixels_off" in output
    with explorer.open("workspace") as study:
        first = study.frame
        assert study.objectives["pixels_off"] == "minimize"
        best = study.best(latency_ms=1e6)
        assert best.stack
        assert best.stack.accuracy == first["pixels_off"].min()
        assert first["pixels_off"].max() < 8, "a guess of the middle is 6 pixels off on average"
    code, output, errors = dlas(capsys, "best", "--min-accuracy", "0.5")
    assert code == 2
    assert "this study has pixels_off in place of an accuracy" in errors
    centres = folder / "centres.py"
    centres.write_text(centres.read_text().replace("SIZE * np.hypot", "2 * SIZE * np.hypot"))
    space.write_text('name = "twice"\n' + space.read_text())
    assert dlas(capsys, "run", space, "--sampler", "grid")[0] == 0
    with explorer.open("workspace", "twice") as study:
        assert (study.frame["pixels_off"] / first["pixels_off"]).tolist() == pytest.approx([2.0] * len(first))


@pytest.mark.slow
def test_a_space_of_the_users_own_is_searched(
    documented: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(documented)
    space = documented / "own_space.toml"
    text = (EXAMPLES / "own_space.toml").read_text()
    own, _, training = text.partition("[train]")
    assert training == "\nepochs = 5\n"
    space.write_text(own + studies.SHORT)
    code, output, errors = dlas(capsys, "spaces", EXAMPLES / "own_space.toml")
    assert code == 0, errors
    assert "under 1 constraints" in output
    assert "limits: latency_ms <= 1, accuracy >= 0.9" in output
    code, output, errors = dlas(capsys, "run", space, "--trials", 1)
    assert code == 0, errors
    assert "1 trials; the fronts as a page: workspace/own_space.html" in output


@pytest.mark.nightly  # Ray takes half a minute; in tests/explorer/test_spaces.py its searcher proposes every time
def test_ray_tune_searches_a_space(documented: Path) -> None:
    pytest.importorskip("ray.tune", reason="needs Ray: pip install 'dlas-explorer[ray]'")
    quickstart = documented / "search_spaces" / "quickstart.toml"
    output = python(documented, "examples/ray_tune.py", "--samples", 2, "--space", quickstart)
    tried = re.findall(r"^[\d.]+% in ([\d.]+) ms: {'dataset': 'digits'", output, re.MULTILINE)
    assert len(tried) == 2
    assert min(map(float, tried)) > 0


@pytest.mark.slow
def test_dlas_ops_agrees_with_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / "compile_only.py"))  # here, where torch and TVM are imported for other tests
    output = capsys.readouterr().out
    assert "features.0.weight conv2d direct/dense" in output
    assert "features.12.expand3x3.weight conv2d spatial_pack/dense" in output
    assert "the outputs are torch's" in output
    assert (tmp_path / "network.tar").stat().st_size > 0
