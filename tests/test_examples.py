"""The examples run: each as its head says, on small studies."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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
