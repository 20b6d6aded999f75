"""The README is true: its commands run in the order that a newcomer types them, and its tables name what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from explorer.core import plugins
from explorer.core.configuration import AXES
from explorer.space import space
from tests import ROOT

README = (ROOT / "README.md").read_text()
DLAS = Path(sys.executable).with_name("dlas")
TRIALS = "3"  # of the quickstart's 36; the rest would show nothing more here


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


COMMANDS = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]


@pytest.mark.slow
def test_the_commands_run(tmp_path: Path) -> None:
    (tmp_path / "search_spaces").symlink_to(ROOT / "search_spaces")
    ran = [command for command in COMMANDS if command.startswith("dlas ")]
    assert ran[0] == "dlas run search_spaces/quickstart.toml"
    for command in ran:
        arguments = shlex.split(command)[1:]
        if arguments[0] == "run":
            arguments += ["--trials", TRIALS]
        done = subprocess.run([DLAS, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "workspace" / "quickstart.html").stat().st_size > 1_000_000, "plotly.js is inside"
    assert (tmp_path / "trials.csv").read_text().count("\n") == 1 + int(TRIALS)
    study, tuned, _, _ = blocks("python")
    script = study.replace("trials=36", f"trials={TRIALS}") + "\nprint(explorer.front('workspace')['latency_ms'])\n"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "latency_ms" in done.stdout
    script = tuned.replace("/srv/shared/workspace", str(tmp_path / "workspace"))
    script = script.replace("num_samples=20", "num_samples=2").replace(
        ".fit()", ".fit().get_dataframe().to_csv('t.csv')"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    tried = pd.read_csv(tmp_path / "t.csv")
    assert len(tried) == 2
    assert (tried["latency_ms"] > 0).all()


@pytest.mark.slow
def test_dlas_ops_agrees_with_torch(tmp_path: Path) -> None:
    *_, alone = blocks("python")
    check = "\ntorch.testing.assert_close(torch.from_numpy(logits), network(image), rtol=1e-3, atol=1e-3)\n"
    done = subprocess.run([sys.executable, "-c", alone + check], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "features.0.0.weight conv2d direct/dense" in done.stdout
    assert "features.18.0.weight conv2d spatial_pack/dense" in done.stdout
    assert (tmp_path / "network.tar").stat().st_size > 0


@pytest.mark.slow
def test_a_model_of_the_users_own_goes_down_the_line_and_an_edit_is_noticed(tmp_path: Path) -> None:
    def run() -> subprocess.CompletedProcess[str]:
        arguments = ["run", str(folder / "mine.toml"), "--sampler", "grid", "--trials", "2"]
        return subprocess.run([DLAS, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    _, _, nets, _ = blocks("python")
    _, _, _, searched, *_ = blocks("toml")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "nets.py").write_text(nets)
    (folder / "mine.toml").write_text(searched)
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nets:build x0.25") == 2
    assert "2 trials;" in done.stdout
    (folder / "nets.py").write_text(nets.replace("32 * width", "64 * width"))
    done = run()
    assert done.returncode == 2
    assert "error: the workspace's study 'mine' was made with other code of nets:build; choose" in done.stderr


def test_every_command_of_the_program_is_shown() -> None:
    listed = subprocess.run([DLAS, "--help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"^[│ ]+([a-z]+)  ", listed, re.MULTILINE))
    assert known == {shlex.split(command)[1] for command in COMMANDS if command.startswith("dlas ")}


@pytest.mark.parametrize(
    "target", sorted({c.split()[1] for c in COMMANDS if c.startswith("make ")} | {"check", "bench"})
)
def test_make_has_the_target(target: str) -> None:
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_table_of_axes_is_complete() -> None:
    for axis in AXES:
        assert f"| `{axis}` |" in README
    for kind in ("dataset", "model", "compression", "algorithm", "sampler"):
        for name in plugins.names(kind):
            assert f"`{name}`" in README, f"{kind} {name}"


def test_the_toml_blocks_are_accepted(tmp_path: Path) -> None:
    constraint, objectives, search, _, weights, data, device = blocks("toml")
    path = tmp_path / "own.toml"
    quickstart = (ROOT / "search_spaces" / "quickstart.toml").read_text()
    path.write_text(quickstart + constraint + weights + data)
    (tmp_path / "devices.toml").write_text(device)
    loaded = space.load(path)
    assert loaded.settings.train.weights == "checkpoints/{model}-{width}.pt"
    assert loaded.settings.data.image_folder == "/srv/data/flowers"
    assert loaded.devices["rpi4"].tracker == "192.168.1.10:9190"
    assert {c.threads for c in loaded.configurations() if c.model == "mobilenetv2"} == {1}
    axes, _, _ = quickstart.partition("[objectives]")
    path.write_text(axes.replace('"local"', '"rpi4+local"') + objectives + search)
    both = space.load(path)
    assert list(both.objectives) == ["accuracy", "latency_ms on rpi4", "latency_ms on local"]
    assert (both.sampler, both.trials, len(both.limits)) == ("auto", 100, 3)
    for each in (both.search, loaded.search):
        assert (each.latency_first, each.warm_start) == (False, True)


def test_the_files_it_names_exist() -> None:
    named = re.findall(r"[`(]((?:explorer|search_spaces|docs|tests)/[\w./]*)", README)
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]


def test_versions_of_python_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11"
    assert "Python 3.11 or newer" in README
