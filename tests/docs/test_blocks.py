"""Code, search spaces and devices on the pages run or are accepted, and are what the files have."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from explorer.space import devices, space
from explorer.space.space import Space
from tests import ROOT, documents
from tests.docs.pages import DEVICES, MODELS, RESULTS, SPACES, TUNING, stem
from tests.docs.shown_commands import FIRST_TRIALS
from tests.documents import PAGES, Block

# What blocks of code that only define something are tried on.
TRIED = {
    "def load(options": "splits = load(Options())\nassert (len(splits.train), len(splits.test)) == (360, 150)\n",
    "def shrink(model": (
        "calls = []\nconv = nn.Conv2d(1, 1, 1)\nnn.init.ones_(conv.weight)\n"
        "assert shrink(conv, 0.25, torch.zeros(1, 1, 1, 1), calls.append).weight.item() == 0.75\n"
        "assert calls == [conv]\n"
    ),
}


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if any(not block.marker for block in documents.blocks(language, page))]


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("python"), ids=stem)
def test_the_code_runs(
    page: Path, documented: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(documented)
    parts = [block.text for block in documents.blocks("python", page) if not block.marker]
    script = "".join(text + "".join(more for head, more in TRIED.items() if head in text) for text in parts)
    script = script.replace("trials=36", f"trials={FIRST_TRIALS}")
    exec(script, {"__name__": page.stem})
    if page == RESULTS:
        assert "latency_ms" in capsys.readouterr().out
        assert (documented / "front.html").exists()


def test_what_is_tried_is_shown() -> None:
    code = "".join(block.text for block in documents.blocks("python"))
    assert [head for head in TRIED if head not in code] == []


@pytest.mark.parametrize("language", ["python", "toml", "console", ""])
def test_markers_are_known(language: str) -> None:
    kinds = {"toml": ("file: ", "toml: space\n", "toml: devices")}.get(language, ("file: ",))
    for block in documents.blocks(language):
        assert not block.marker or block.marker.startswith(kinds), block.marker


def parts_of_files() -> list[Block]:
    return [
        block
        for language in ("python", "toml")
        for block in documents.blocks(language)
        if block.marker.startswith("file: ")
    ]


@pytest.mark.parametrize("block", parts_of_files(), ids=lambda block: block.marker)
def test_what_is_shown_of_a_file_is_part_of_it(block: Block) -> None:
    assert block.text in (ROOT / block.marker.removeprefix("file: ")).read_text()


def loaded(block: Block, folder: Path) -> Space:
    path = folder / "shown.toml"
    path.write_text(f"{block.completion}\n{block.text}")
    return space.load(path, to_run=False)


def the(page: Path, containing: str) -> Block:
    (found,) = (block for block in documents.blocks("toml", page) if containing in block.text)
    return found


@pytest.mark.parametrize(
    "block", documents.blocks("toml"), ids=lambda block: f"{block.page.stem}-{block.text.splitlines()[0]}"
)
def test_the_toml_blocks_are_accepted(block: Block, tmp_path: Path) -> None:
    if block.marker == "toml: devices":
        (tmp_path / "devices.toml").write_text(block.text)
        assert set(devices.load(tmp_path / "devices.toml")) == {"local", *tomllib.loads(block.text)}
    else:
        assert loaded(block, tmp_path).count


def test_the_toml_blocks_say_what_the_text_says(tmp_path: Path) -> None:
    constrained = loaded(the(SPACES, "[[constraints]]"), tmp_path)
    assert {c.threads for c in constrained.configurations() if c.model == "mobilenetv2"} == {1}
    assert {c.threads for c in constrained.configurations() if c.model == "resnet18"} == {1, 2}
    objectives = loaded(the(SPACES, "latency_ms on rpi4"), tmp_path).objectives
    assert list(objectives) == ["accuracy", "latency_ms on rpi4", "latency_ms on local"]
    assert len(loaded(the(SPACES, "limits = "), tmp_path).limits) == 3
    searched = loaded(the(TUNING, "warm_start"), tmp_path)
    assert (searched.sampler, searched.trials, len(searched.limits)) == ("auto", 100, 3)
    quickstart = space.load(Path("quickstart"))
    for each in (searched, quickstart):  # the block shows the defaults
        options = each.search
        assert (options.sampler, options.seed, options.latency_first, options.warm_start) == ("auto", 0, False, True)
    rungs = loaded(the(TUNING, "rungs"), tmp_path)
    assert (rungs.search.rungs, rungs.search.reduction) == ("tuning_trials", quickstart.search.reduction)
    assert loaded(the(MODELS, "weights"), tmp_path).settings.train.weights == "checkpoints/{model}-{width}.pt"
    assert loaded(the(MODELS, "image_folder"), tmp_path).settings.data.image_folder == "/srv/data/flowers"
    (tmp_path / "devices.toml").write_text(the(DEVICES, "rpi4").text)
    assert devices.load(tmp_path / "devices.toml")["rpi4"].tracker == "192.168.1.10:9190"
