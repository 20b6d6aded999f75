"""docs/json.md describes every field of the JSON that commands print, and no other."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import explorer
from explorer.bundles.verdict import Verdict
from explorer.cli.terminal import SCHEMA
from explorer.core.configuration import Configuration
from explorer.core.measurement.statistics import Interval
from explorer.line.probing.answers import Answers, Description, Gpu, Peaks
from explorer.profiles.explanation import Advice, explanation
from explorer.results.measured_on import MeasuredOn
from explorer.results.progress.status import Ranks
from explorer.results.trials.account import Coverage, Share
from explorer.results.trials.ranking import RankedLayer
from explorer.search.search import Summary
from explorer.search.trial_queue import Unfinished
from explorer.workspace.database.records import Record
from tests import ROOT, documents
from tests.explorer.command import answer, dlas, document
from tests.explorer.frames import complete, frame_of
from tests.explorer.profiles import drawn
from tests.explorer.searched import searched, searched_on_two
from tests.explorer.spaces import SMALL, make, write

PAGE, RESULTS, REPORTS = (ROOT / f"docs/{name}.md" for name in ("json", "results", "reports"))
STACK, COLUMNS = "(#a-stack)", "(results.md#tables)"  # what stands in a field's description that has all of these


def table(heading: str, prefix: str = "") -> dict[str, str]:
    """Return field → description below a heading; of those that begin with `prefix`, which is left out."""
    found = {name: row[1] for row in documents.rows(PAGE, heading) for name in documents.code(row[0])}
    return {name.removeprefix(prefix): text for name, text in found.items() if name.startswith(prefix)}


COLUMN_NAMES = {name for row in documents.rows(RESULTS, "## Tables") for name in documents.code(row[0])}
STACK_FIELDS = table("## A stack")


@dataclass
class Fields:
    """The documented fields of a command, and those that its answers have had."""

    documented: Mapping[str, str]
    seen: set[str] = field(default_factory=set)

    def check(self, value: Mapping[str, Any], below: str = "") -> None:
        """Refuse a field that is not documented, in `value` or in what it holds."""
        for key, each in value.items():
            name = self.named(f"{below}{key}")
            assert name, f"{below}{key} is not documented"
            self.seen.add(name)
            for part in each if isinstance(each, list) else [each]:
                if not isinstance(part, dict):
                    continue
                if STACK in self.documented[name]:
                    Fields(STACK_FIELDS).check(part)
                elif COLUMNS in self.documented[name]:
                    own = {key: part[key] for key in part if key.partition(" on ")[0] not in COLUMN_NAMES}
                    self.check(own, f"{name}.")
                else:
                    self.check(part, f"{name}.")

    def named(self, path: str) -> str | None:
        """Return the documented name of a field, in which ``<axis>`` stands for any key."""
        if path in self.documented:
            return path
        patterns = ((name, re.sub(r"<\w+>", r"[^.]+", re.escape(name))) for name in self.documented if "<" in name)
        return next((name for name, pattern in patterns if re.fullmatch(pattern, path)), None)

    def unseen(self) -> set[str]:
        return set(self.documented) - self.seen


@pytest.fixture(scope="module")
def on_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study on two devices whose fronts have different choices, with a knee and two tuning budgets."""
    place, records = searched_on_two(tmp_path_factory.mktemp("two"))
    values = records.complete("drawn")[0][2].values
    for number, budget, latency, accuracy in ((200, 0, 2.0, 0.97), (201, 64, 1.5, 0.97), (202, 0, 3.0, 0.98),
                                              (203, 64, 30.0, 0.99)):  # fmt: skip
        tuner = "generated" if budget else None
        axes: dict[str, Any] = {
            "tuning_trials": budget,
            "tuner": tuner,
            "algorithm": "winograd" if number > 201 else "gemm",
        }
        own = complete(number, accuracy, latency)
        again = Record({**values, **{name: own[name] for name in own if name in values}})
        records.add_trial("drawn", number, Configuration("digits", "resnet18", device="board", **axes), again, 1.0)
    return place.root


def answers_of(capsys: Any, command: str, *given: tuple[object, ...]) -> Iterator[dict[str, Any]]:
    for arguments in given:
        yield answer(capsys, command, *arguments)


def test_best(on_two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Fields(table("## `dlas best`"))
    joined = ("--device", "local+board", "--latency-ms", 9.5)
    goals = ("--device", "board", "--latency-ms", 9, "--speed-up", 0.1, "--max-drop", 0.5, "--confidence", 0.1)
    for result in answers_of(capsys, "best", (*joined, "-w", on_two), (*goals, "-w", on_two)):
        found.check(result)
    found.check(answer(capsys, "best", "--device", "local", "--latency-ms", 0.5, "-w", on_two, code=1))
    assert found.unseen() == set()


def test_a_stack(on_two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Fields(STACK_FIELDS)
    found.check(answer(capsys, "best", "--device", "local+board", "--latency-ms", 9.5, "-w", on_two)["stack"])
    assert found.unseen() == set()


def test_menu(on_two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Fields(table("## `dlas menu`"))
    found.check(answer(capsys, "menu", "-w", on_two))
    assert found.unseen() == set()


def test_front(on_two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Fields(table("## `dlas front`"))
    (tmp_path / "limits").mkdir()
    limited = searched(tmp_path / "limits", limits=["latency_ms <= 0.5"])[0].root
    found.check(answer(capsys, "front", "--compare", "-w", on_two, "--figure", tmp_path / "f.html"))
    found.check(answer(capsys, "front", "-w", limited))
    assert found.unseen() == set()
    assert any(row["knee"] for row in answer(capsys, "front", "-w", on_two)["stacks"])


def test_run_and_grid(
    on_two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = shutil.copytree(on_two, tmp_path / "w")
    space = make(tmp_path, SMALL, sampler="grid").path
    left = [Unfinished(12, "train", "crash", "the worker was ended by SIGKILL")]
    summary = Summary("drawn", complete=10, failed=2, skipped=0, added=12, exhausted=True, unfinished=left)
    for name in ("run", "grid"):
        monkeypatch.setattr(explorer, name, lambda *positional, **named: summary)
    every = table("## `dlas run` and `dlas grid`")
    found = Fields({name: text for name, text in every.items() if not name.startswith("ended.front")})
    planned = answer(capsys, "grid", space, "-w", place, code=1)
    front = planned["ended"].pop("front")
    found.check(planned)
    assert found.unseen() == set()
    assert answer(capsys, "grid", space, "-w", place, "--dry-run")["ended"] is None
    ran = answer(capsys, "run", space, "-w", place, code=1)
    assert ran.pop("front") == front
    assert ran == planned["ended"]
    Fields(table("## `dlas front`")).check(front)
    assert Path(front["page"]).exists()


def test_an_interrupted_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*positional: object, **named: object) -> Summary:
        raise KeyboardInterrupt

    monkeypatch.setattr(explorer, "run", interrupted)
    found = document(capsys, "run", "quickstart", code=130)
    assert found == {
        "schema": 1,
        "command": "run",
        "error": {"message": "interrupted; the same command goes on from here"},
    }


def test_measure(on_two: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def measure(*positional: object, observer: Any, **named: object) -> pd.DataFrame:
        observer.note("to standard error")
        return frame_of(complete(3, 0.9, 1.0))

    monkeypatch.setattr(explorer, "measure", measure)
    found = Fields(table("## Other commands", "measure: "))
    found.check(answer(capsys, "measure", 3, "-w", on_two))
    assert found.unseen() == set()
    assert dlas("measure", 3, "-w", on_two, "--json") == 0
    assert "to standard error" in capsys.readouterr().err


def test_profile(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = drawn.profile(drawn.layer("a", 100.0), drawn.layer("b", 10.0))
    after = drawn.profile(drawn.layer("a", 99.0, nonzeros=50), drawn.layer("b", 10.0), drawn.conversion(1.0))
    held = replace(explanation(after, before, 3, 2), advice=Advice("add format", "dlas run x.toml"))
    monkeypatch.setattr(explorer, "profile", lambda *positional, **named: {"local": after})
    monkeypatch.setattr(explorer, "explain", lambda *positional, **named: [held])
    found = Fields(table("## `dlas profile`"))
    found.check(answer(capsys, "profile", 3))
    found.check(answer(capsys, "profile", 3, "--vs", 2))
    assert found.unseen() == set()


def test_export(on_two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Fields(table("## Other commands", "export: "))
    rows = answer(capsys, "export", "-w", on_two)
    found.check(rows)
    for format in ("csv", "parquet", "json"):
        path = tmp_path / f"trials.{format}"
        written = answer(capsys, "export", "-w", on_two, "--format", format, "-o", path)
        found.check(written)
        assert (written["path"], written["count"]) == (str(path), len(rows["trials"]))
        assert path.exists()
    assert found.unseen() == set()
    assert json.loads((tmp_path / "trials.json").read_text())["result"] == rows
    assert dlas("export", "-w", on_two, "--format", "csv", "--json") == 2
    assert "--json and csv cannot both go to standard output" in capsys.readouterr().err


def test_status_and_show(on_two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = Fields(table("## Other commands", "status: "))
    status.check(answer(capsys, "status", "-w", on_two))
    measured = MeasuredOn("board", "AMD EPYC", [3], latest=False, differences="cores is 1, not 0").as_dict()
    status.check({"devices": [measured]})  # no session tells here what a device was
    assert status.unseen() == set()
    assert {f"tuning.{each.name}" for each in fields(Ranks)} <= set(status.documented)
    show = Fields(table("## Other commands", "show: "))
    failed = answer(capsys, "show", 4, "-w", on_two)
    beside = {"coverage", "devices", "layers", "log", "ranking", "why"}
    assert failed.keys() - COLUMN_NAMES == beside
    show.check({key: failed[key] for key in sorted(beside)} | {"devices": [measured]})
    ranked = RankedLayer(layer="a", harm=0.1, float32_us=2.0, int8_us=1.0, place=0, dtype="int8")
    show.check({"ranking": [ranked]})
    show.check({"coverage": Coverage(9, 3, *[Share(0.5, 0.5)] * 5).as_dict()})  # no library lies there to be told of
    assert show.unseen() == {"<column>", "layers.<field>"}, "which other tables describe"


def test_spaces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Fields(table("## Other commands", "spaces: "))
    every = answer(capsys, "spaces")
    found.check(every)
    ranged = write(tmp_path, {**SMALL, "device": ["local", "phone"]})
    space = answer(capsys, "spaces", ranged)["space"]
    shared = every["spaces"][0].keys()
    assert shared <= space.keys()
    found.check({"space": {key: each for key, each in space.items() if key not in shared}})
    (tmp_path / "c").mkdir()
    continuous = make(tmp_path / "c", {**SMALL, "ratio": {"low": 0.3, "high": 0.9}}).path
    found.check({"space": {"axes": answer(capsys, "spaces", continuous)["space"]["axes"]}})
    assert found.unseen() == set()


def test_models_and_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Fields(table("## Other commands", "models: "))
    found.check(answer(capsys, "models"))
    assert found.unseen() == set()
    compared = Fields(table("## Other commands", "weights: "))
    torch.save({"state_dict": {"other": torch.zeros(3)}}, tmp_path / "a.pt")
    whole = document(capsys, "weights", tmp_path / "a.pt", "--model", "vgg16", "--width", 0.1, code=2)
    assert whole["error"]["message"] == f"a.pt does not fit the model: {whole['result']['comparison']['why_not']}"
    compared.check(whole["result"])
    assert compared.unseen() == set()


def test_devices(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = Fields(table("## Other commands", "devices: "))
    listed = answer(capsys, "devices")
    found.check({"devices": [dict.fromkeys(device) for device in listed["devices"]]})
    refused = Answers("board", "lan:9190", "board", says=Description(), peaks=Peaks(1, 1, 1, 1, 1), gpu=Gpu("opencl"),
                      refusal="it does not answer")  # fmt: skip
    monkeypatch.setattr(explorer, "check_device", lambda *positional: refused)
    whole = document(capsys, "devices", "--check", "board", code=2)
    assert whole["error"]["message"] == whole["result"]["check"]["refusal"] == "it does not answer"
    found.check({"check": dict.fromkeys(whole["result"]["check"])})
    assert found.unseen() == set()


def test_report(capsys: pytest.CaptureFixture[str], on_two: Path) -> None:
    found = Fields(table("## Other commands", "report: "))
    result = answer(capsys, "report", "-w", on_two)
    for each in (result["coverage"], *result["answers"].values()):
        each["rows"] = []  # each question has columns of its own
        each["needs"] = None
    coverage = result.pop("coverage")
    found.check(result)
    found.check({"coverage": None, "answers": {"coverage": coverage}})
    assert found.unseen() == set()


def test_bundle_and_verify(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Made:
        def model_dump(self, mode: str) -> dict[str, object]:
            return {"format": 1}

    latency = Interval(1.0, 0.9, 1.1)
    verdict = Verdict("board", False, 1e-6, 1e-3, latency, latency, 3, "", 12.0, 0.5)
    monkeypatch.setattr(explorer, "bundle", lambda *positional: Made())
    monkeypatch.setattr(explorer, "verify", lambda *positional: verdict)
    for command, given in (("bundle", (3, "-o", "x")), ("verify", ("x",))):
        found = Fields(table("## Other commands", f"{command}: "))
        found.check(answer(capsys, command, *given))
        assert found.unseen() == set()


def test_figure(on_two: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from explorer.results.figures import kinds

    found = Fields(table("## Other commands", "figure: "))
    found.check(answer(capsys, "figure"))
    found.check(answer(capsys, "figure", "front", "-o", tmp_path / "x.svg", "-w", on_two))
    assert found.unseen() == set()
    rows = {documents.code(row[0])[0]: documents.code(row[2]) for row in documents.rows(REPORTS, "## Figures")}
    assert rows == {kind: [f"--{name.replace('_', '-')}" for name in each.takes] for kind, each in kinds.KINDS.items()}


def test_the_envelope(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    described = table("## In every document")
    assert set(described) == {"schema", "command", "result", "error.message"}
    assert described["schema"].startswith(f"{SCHEMA},")
    for arguments, command, said in (
        (("status", "-w", tmp_path), "status", "no study in workspace"),
        (("best", "--latency-ms", "x"), "best", "Invalid value for '--latency-ms'"),
        (("nonsense",), None, "No such command 'nonsense'"),
    ):
        whole = document(capsys, *arguments, code=2)
        assert (whole["schema"], whole["command"], list(whole)) == (1, command, ["schema", "command", "error"])
        assert said in whole["error"]["message"]
        assert dlas(*arguments, "--json") == 2
        assert capsys.readouterr().err == f"error: {whole['error']['message']}\n"


def test_every_command_takes_json() -> None:
    import typer

    from explorer import cli

    commands: Any = typer.main.get_command(cli.app)
    lacking = [
        name for name, each in commands.commands.items() if not any("--json" in option.opts for option in each.params)
    ]
    assert lacking == []
