"""A real study: a trial is profiled over RPC once, found again on record, and held against its base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import explorer
from explorer.core.errors import ExplorerError
from tests import studies
from tests.explorer.command import dlas

CHOICES = {"compression": ["none", "weight_pruning"], "ratio": 0.75, "threads": 1}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a network and of the same one pruned."""
    root = tmp_path_factory.mktemp("profiled")
    space = studies.write_space(root, "profiled", [studies.SMALL], ["direct"], axes=CHOICES)
    summary = studies.run(space, root / "workspace", studies.Events())
    assert (summary.complete, summary.failed) == (2, 0)
    return root / "workspace"


def numbers(workspace: Path) -> tuple[int, int]:
    """Return the numbers of the pruned trial and of its base."""
    rows = explorer.frame(workspace).set_index("compression")["number"]
    return int(rows["weight_pruning"]), int(rows["none"])


@pytest.mark.slow
def test_a_trial_is_profiled_once_and_held_against_its_base(
    workspace: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pruned, base = numbers(workspace)
    (found,) = explorer.explain(pruned, "base", workspace, sessions=1, observer=studies.Events())
    assert (found.trial, found.base) == (pruned, base)
    assert 0.2 < found.versus.expected < 0.6, "some layers keep more of their weights than others"
    assert [pair.own.name for pair in found.versus.pairs]
    assert f"trial {pruned} takes " in found.sentence
    executed = studies.executions(workspace)
    assert (executed["instrument"], executed["profile"], executed["train"]) == (2, 2, 1)

    with explorer.open(workspace) as study:
        account = study.layers(pruned)
        profile = study.profiles(pruned)["local"]
        assert study.why(pruned) == found.sentence
        assert study.why(base) == ""
    assert {row.name for row in profile.rows} >= {layer["name"] for layer in account}
    weighted = [row for row in profile.rows if row.weights]
    assert sum(row.nonzeros for row in weighted) == pytest.approx(0.25 * sum(row.weights for row in weighted), rel=0.1)

    flame, laid_over = tmp_path / "flame.html", tmp_path / "layers.json"
    assert dlas("profile", pruned, "-w", workspace, "--sessions", 1, "--figure", flame, "--overlay", laid_over) == 0
    told = capsys.readouterr().out
    assert all(row.name in told for row in profile.rows)
    assert "the network takes " in told
    assert flame.read_text().count("Plotly.newPlot(") >= 1
    assert set(json.loads(laid_over.read_text())["results"]) == {row.tensor for row in weighted}
    assert dlas("profile", pruned, "--vs", base, "-w", workspace, "--sessions", 1) == 0
    assert found.sentence in capsys.readouterr().out
    assert dlas("profile", pruned, "-w", workspace, "--sessions", 1, "--overlay", tmp_path / "none" / "x.json") == 2
    assert "cannot write '" in capsys.readouterr().err
    assert studies.executions(workspace) == executed, "nothing is timed twice"
    assert dlas("show", pruned, "-w", workspace) == 0
    assert found.sentence in capsys.readouterr().out


def test_mistakes_are_told_in_a_sentence(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, base = numbers(workspace)
    for arguments, said in [
        ((99,), "has no finished trial 99; its last is 1"),
        ((base, "--vs", "base"), f"trial {base} has no compression, and so no base; give another trial"),
        ((base, "--vs", "bse"), "--vs 'bse' is no trial; allowed: the number of a trial, or base"),
        ((base, "--vs", "1", "--figure", "x.html"), "--figure and --overlay show one trial: leave --vs out"),
    ]:
        assert dlas("profile", *arguments, "-w", workspace) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(ExplorerError, match="'bse' is no trial to compare with"):
        explorer.explain(base, "bse", workspace)
    with pytest.raises(ExplorerError, match="sessions 0 is below 1"):
        explorer.profile(base, workspace, sessions=0)
