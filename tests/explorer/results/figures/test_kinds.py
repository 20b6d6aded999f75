"""Each kind of figure is drawn of a real study, in each format; listing them imports nothing heavy."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import explorer
from explorer.core.errors import ExplorerError
from explorer.profiles.profile import Profile
from explorer.results.figures import kinds
from explorer.results.figures.kinds import FORMATS, KINDS, Options
from explorer.results.study_report.evidence import Evidence
from tests.explorer.command import answer, dlas
from tests.explorer.frames import emulated
from tests.explorer.profiles import drawn as profiles
from tests.explorer.results.study_report import studies as report_studies
from tests.explorer.searched import searched, searched_on_two

STARTS = {"html": b"<!DOCTYPE html>", "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return searched_on_two(tmp_path_factory.mktemp("two"))[0].root


@pytest.mark.parametrize("kind", ["front", "across_devices", "correlations"])
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


class Drawn:
    """A study that has something to draw for every kind of figure."""

    name = "drawn"
    limits = ()
    emulated_devices = frozenset[str]()

    def __init__(self) -> None:
        self.frame = report_studies.drawn(2)

    def on(self, device: str | None) -> pd.DataFrame:
        return self.frame

    def evidence(self, emulated: bool = False) -> Evidence:
        return report_studies.evidence(self.frame)

    def profiles(self, trial: int) -> dict[str, Profile]:
        made = profiles.profile(profiles.layer("layer1.conv.weight", 100.0), profiles.conversion(3.0))
        return {"local": made} if trial == 1 else {}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("front", "across_devices", "correlations")])
def test_what_takes_a_study_of_its_own_is_drawn_as_a_page_and_as_an_image(kind: str, tmp_path: Path) -> None:
    figure = kinds.draw(kind, Drawn(), Options(trial=1 if kind == "profile" else None))
    for ending in ("html", "svg"):
        kinds.save(figure, tmp_path / f"x.{ending}")
        assert (tmp_path / f"x.{ending}").stat().st_size > 5_000


def test_a_profile_is_that_of_a_trial() -> None:
    with pytest.raises(ExplorerError, match="figure profile needs the number of a trial: --trial N"):
        kinds.draw("profile", Drawn(), Options())
    with pytest.raises(ExplorerError, match="figure profile needs a profile of that trial on that device"):
        kinds.draw("profile", Drawn(), Options(trial=2))


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
        (("frnt",), "unknown figure 'frnt'; allowed: front, across_devices, "),
        (("front", "--trial", 3), "figure front takes no --trial; it takes: --device, --latency-ms"),
        (("front", "-o", "x.gif"), "'x.gif' does not end in a format of figures; allowed: html, png, svg, pdf"),
        (("front", "-o", "x"), "'x' does not end in a format"),
        (("front", "-o", "/proc/none/x.png"), "cannot write '/proc/none': there is no folder '/proc/none'"),
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
