"""Name, objectives, settings and the tables there are: read from a search-space file, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import SpaceError
from explorer.core.measurement.quantities import QUANTITIES
from explorer.space import space
from explorer.space.toml.space_file import bundled, find
from tests.explorer.spaces import VALID, refusal, refused, render


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"serach": {"trials": 3}}, "8: unknown key 'serach' in a search-space file; allowed: "),
        ({"train": {"epoch": 3}}, "9: unknown key 'epoch' in [train]; allowed: weights, "),
        ({"train": {"batch_size": 0}}, "9: batch_size = 0 in [train] should be greater than "),
        ({"train": {"epochs": 0}}, "9: epochs = 0 in [train] trains nothing and needs weights"),
        ({"objectives": {}}, "8: [objectives] lists none"),
        (
            {"objectives": {"latency": "minimize"}},
            f"9: unknown objective 'latency'; allowed: {', '.join(QUANTITIES)}; did you mean 'latency_ms'?",
        ),
        (
            {"objectives": {"accuracy": "max"}},
            "9: unknown direction 'max' of objective accuracy; allowed: maximize, minimize",
        ),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(tables: dict[str, Any], message: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, **tables).startswith(f"x.toml:{message}")


def test_axes_that_are_no_table_or_have_another_name_are_refused(tmp_path: Path) -> None:
    content = render({})
    assert refused(tmp_path, "axes = 3\n") == "x.toml:1: axes is a table: it starts with a line [axes]"
    message = refused(tmp_path, "[axis]\n" + content)
    assert message.startswith("x.toml:1: unknown key 'axis' in a search-space file; allowed: name, axes, ")


def test_a_name_is_a_text(tmp_path: Path) -> None:
    assert refused(tmp_path, "name = ''\n" + render(VALID)) == "x.toml:1: name is a text, not ''"


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"unknown search space 'quikstart'.*did you mean 'quickstart'"):
        space.load(Path("quikstart"))
    (tmp_path / "mine.toml").write_text(render(VALID))
    with pytest.raises(SpaceError, match=r"mien\.toml: no such file; did you mean '.*mine\.toml'"):
        space.load(tmp_path / "mien.toml")


def test_a_space_is_found_by_its_name_or_its_path() -> None:
    for path in bundled():
        assert find(path.stem) == find(path) == path
    assert "quickstart" in [path.stem for path in bundled()]
