"""Each kind of figure is drawn of a real study, in each format; listing them imports nothing heavy."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import explorer
from explorer.core.errors import ExplorerError
from explorer.results.figures import kinds
from explorer.results.figures.kinds import FORMATS, KINDS, Options
from tests.explorer.command import answer, dlas
from tests.explorer.frames import emulated
from tests.explorer.searched import searched, searched_on_two

STARTS = {"html": b"<!DOCTYPE html>", "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched_on_two(tmp_path_factory.mktemp("two"))[0].root


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "ending", [pytest.param(each, marks=pytest.mark.nightly) if each == "pdf" else each for each in FORMATS]
)  # test_drawing writes a PDF, too
def test_each_kind_is_drawn_in_each_format(
    kind: str, ending: str, on_two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / f"{kind}.{ending}"
    assert answer(capsys, "figure", kind, "-o", path, "-w", on_two) == {"kind": kind, "path": str(path)}
    assert path.read_bytes().startswith(STARTS[ending])
    assert path.stat().st_size > 10_000


def test_options_are_heeded(on_two: Path) -> None:
    with explorer.open(on_two) as study:
        one = kinds.draw("front", study, Options(device="local", latency_ms=3.0))
        assert len(one.layout.shapes) == 1
        assert len(kinds.draw("front", study, Options()).layout.annotations) == 2
        study.__dict__["frame"] = emulated(study.frame, "board")
        with pytest.raises(
            ExplorerError, match="figure across_devices needs stacks that were measured on at least two"
        ):
            kinds.draw("across_devices", study, Options())
        assert kinds.draw("across_devices", study, Options(emulated=True)).data


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("frnt",), "unknown figure 'frnt'; allowed: front, across_devices"),
        (("front", "--trial", 3), "figure front takes no --trial; it takes: --device, --latency-ms"),
        (("front", "-o", "x.gif"), "'x.gif' does not end in a format of figures; allowed: html, png, svg, pdf"),
        (("front", "-o", "x"), "'x' does not end in a format"),
        (("front", "-o", "/proc/none/x.png"), "cannot write '/proc/none/x.png'"),
        (("front", "--device", "lokal"), "did you mean 'local'?"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: tuple[object, ...], message: str, on_two: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dlas("figure", *arguments, "-w", on_two) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert (err.count("\n"), out) == (1, "")


def test_one_device_has_nothing_across_devices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = searched(tmp_path)[0].root
    assert dlas("figure", "across_devices", "-w", root, "-o", tmp_path / "x.png") == 2
    assert "and study 'drawn' has none" in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_the_kinds_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    listed = answer(capsys, "figure")["kinds"]
    assert [each["kind"] for each in listed] == list(KINDS)
    assert dlas("figure") == 0
    assert "front: accuracy over latency on each device, with the front" in capsys.readouterr().out
    options = {name for kind in KINDS.values() for name in kind.takes}
    assert options <= set(inspect.signature(Options).parameters)


def test_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom explorer import cli\nheavy = {'pandas', 'plotly', 'matplotlib', 'optuna'}\n"
        "try: cli.main(['figure'])\nexcept SystemExit: print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
