"""The pages are true: commands, code and search spaces run, tables name what there is, links lead somewhere."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import typer

import explorer
from explorer import cli
from explorer.core import plugins
from explorer.core.configuration import AXES
from explorer.core.settings import Settings
from explorer.space import devices, space
from explorer.space.search_options import Search
from explorer.space.space import Space
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import ROOT, documents
from tests.conftest import Ran
from tests.documents import PAGES, README, Block

DOCS = ROOT / "docs"
SPACES, TUNING, MODELS = DOCS / "search-spaces.md", DOCS / "search-and-tuning.md", DOCS / "models-data-training.md"
BOARDS, DEVICES = DOCS / "boards.md", DOCS / "devices.md"
RESULTS, HOUSE, OPS = DOCS / "results.md", DOCS / "architecture.md", DOCS / "dlas-ops.md"
REPORTS = DOCS / "reports.md"
QUICKSTART = "dlas run search_spaces/quickstart.toml"
FIRST_TRIALS = 3  # of the quickstart; more would show nothing more here

# What is not run here, and why.
NOT_RUN = {
    "make quickstart": "installs packages; the command it ends with is run here",
    "make check": "runs this test",
    "make bench": "takes an hour",
    "dlas grid fashion_mnist": "takes two hours; test_fashion_mnist checks what it found",
    'pip install "dlas-explorer[ray]"': "installs packages",
    'pip install "dlas-explorer[postgresql]"': "installs packages",
    f"{QUICKSTART} --workspace elsewhere --seed 1": "trains all anew, as a new workspace does",
    f"{QUICKSTART} --engine ray --address head:6379": "needs a cluster; test_ray has one",
    f"{QUICKSTART} --database postgresql+psycopg://user@host/name": "needs a server; test_postgresql has one",
    "ray start --address=head:6379 --resources='{\"device:rpi4\": 1}'": "needs a cluster; test_ray has one",
    "python -m tvm.exec.rpc_tracker --host 0.0.0.0 --port 9190": "runs for ever; its options are checked here",
    "TVM_NUM_THREADS=4 python -m tvm.exec.rpc_server --tracker 192.168.1.10:9190 --key rpi4 --port 9090 "
    "--port-end 9199": "runs for ever; its options are checked here",
    "python -m tvm.exec.rpc_tracker --host 127.0.0.1 --port 9190 --port-end 9191": "likewise",
    "TVM_NUM_THREADS=4 python -m tvm.exec.rpc_server --host 127.0.0.1 --tracker 127.0.0.1:9190 --key rpi4 --port 9090 "
    "--port-end 9199": "likewise",
    "dlas devices --add rpi4 --tracker 192.168.1.10:9190": "needs a board; test_devices adds this machine",
    "dlas weights resnet18.pt --model resnet18": "needs a checkpoint; test_networks has one",
    "dlas weights resnet18.pt --model resnet18 --width 0.5 --classes 10 --shape 3x32x32 --json": "likewise",
    "dlas profile 0": "compiles and measures for half a minute; test_profiling does",
    "dlas profile 0 --figure flame.html --overlay layers.json": "likewise",
    "dlas profile 0 --json": "likewise",
    "dlas profile 0 --vs base": "likewise",
    "dlas profile 0 --vs 1 --json": "likewise",
    "dlas best --device rpi4+local --latency-ms 0.5": "needs a study on several devices; test_together has one",
    "dlas best --device local --max-drop 0.01": "needs an uncompressed trial; test_bases has one",
    "dlas best --device local --speed-up 2": "needs an uncompressed trial; test_bases has one",
    "dlas best --device local --speed-up 2 --max-drop 0.01 --latency-ms 0.5 --confidence 0.95": "likewise",
    "dlas front --compare": "needs a study on several devices; test_together has one",
    "dlas front --compare --device local --json": "needs a study on several devices; test_together has one",
    "dlas dashboard": "runs for ever; test_page opens it",
    "dlas dashboard --workspace elsewhere --port 8060 --open": "runs for ever; test_page opens it",
    'pip install "dlas-explorer[dashboard]"': "installs packages",
    "optuna-dashboard sqlite:///workspace/study.db": "is another program",
    "python bundle/run.py": "tests/explorer/bundles/test_programs.py runs it",
    "make -C bundle run": "tests/explorer/bundles/test_programs.py runs it",
    "dlas run examples/own_model/own_model.toml": "test_examples runs it",
    "dlas run examples/segmentation/segmentation.toml": "test_examples runs it",
    "dlas run examples/regression/regression.toml": "test_examples runs it",
    "python examples/ray_tune.py --samples 20": "test_examples runs it",
    "python examples/compile_only.py": "test_examples runs it",
}

# What the page on boards shows: it installs on a board, builds for one, or runs there.
ON_BOARDS = (
    "python -m tvm.exec.query_rpc_tracker --host 192.168.1.10 --port 9190",
    "sudo apt install g++ python3-venv",
    "python3 -m venv tvm",
    'tvm/bin/pip install "apache-tvm[rpc]==0.27.0.post1" apache-tvm-ffi==0.1.14.post0',
    "TVM_NUM_THREADS=4 tvm/bin/python -m tvm.exec.rpc_server --tracker 192.168.1.10:9190 --key rpi5 "
    "--port 9090 --port-end 9199",
    "dlas devices --add rpi5 --tracker 192.168.1.10:9190",
    "dlas devices --check rpi5 --file devices.toml",
    'LD_LIBRARY_PATH=/usr/local/cuda/lib64 tvm/bin/python -c "import tvm; print(tvm.cuda().exist)"',
    "LD_LIBRARY_PATH=/usr/local/cuda/lib64 tvm/bin/python -m tvm.exec.rpc_server --tracker "
    "192.168.1.10:9190 --key orin --port 9090 --port-end 9199",
    "sudo apt install clinfo ocl-icd-opencl-dev",
    "clinfo -l",
    "sudo apt install mesa-opencl-icd",
    "RUSTICL_ENABLE=panfrost clinfo -l",
    "cmake -S tvm-source -B build -DUSE_OPENCL=ON -DUSE_LLVM=OFF -DCMAKE_BUILD_TYPE=Release",
    "cmake --build build --target tvm_runtime tvm_runtime_opencl --parallel 4",
    'tvm/bin/python -c "import tvm; print(tvm.opencl().exist)"',
    "RUSTICL_ENABLE=panfrost tvm/bin/python -m tvm.exec.rpc_server --tracker 192.168.1.10:9190 --key "
    "mali --port 9090 --port-end 9199 --no-fork",
    "cmake -S tvm-source -B build-android "
    "-DCMAKE_TOOLCHAIN_FILE=$ANDROID_NDK/build/cmake/android.toolchain.cmake -DANDROID_ABI=arm64-v8a "
    "-DANDROID_PLATFORM=android-28 -DUSE_CPP_RPC=ON -DUSE_OPENCL=ON -DUSE_LLVM=OFF",
    "cmake --build build-android --target tvm_runtime tvm_rpc --parallel 4",
    "adb push build-android/lib /data/local/tmp/tvm",
    "adb reverse tcp:9190 tcp:9190",
    "adb forward tcp:9090 tcp:9090",
    'adb shell "cd /data/local/tmp/tvm && chmod +x tvm_rpc && LD_LIBRARY_PATH=. ./tvm_rpc server '
    "--host=0.0.0.0 --port=9090 --port-end=9091 --tracker=127.0.0.1:9190 --key=phone "
    '--custom-addr=127.0.0.1"',
)
NOT_RUN |= dict.fromkeys(ON_BOARDS, "needs a board; test_devices checks and adds this machine")

# What blocks of code that only define something are tried on.
TRIED = {
    "def load(options": "splits = load(Options())\nassert (len(splits.train), len(splits.test)) == (360, 150)\n",
    "def shrink(model": (
        "calls = []\nconv = nn.Conv2d(1, 1, 1)\nnn.init.ones_(conv.weight)\n"
        "assert shrink(conv, 0.25, torch.zeros(1, 1, 1, 1), calls.append).weight.item() == 0.75\n"
        "assert calls == [conv]\n"
    ),
}


def stem(page: Path) -> str:
    return page.stem


def arguments(command: str) -> list[str] | None:
    """Return what a command gives to `dlas`; None if it is another program's."""
    program, *rest = shlex.split(command)
    return rest if Path(program).name == "dlas" else None


COMMANDS: dict[str, Any] = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]


def options(command: str) -> set[str]:
    """Return the long options of a command of `dlas`."""
    every = {name for parameter in COMMANDS[command].params for name in parameter.opts}
    return {name for name in every if name.startswith("--")}


DLAS = [given for command in documents.commands() if (given := arguments(command))]


# --- commands


@pytest.fixture
def typed(documented: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Typed:
    monkeypatch.chdir(documented)
    made = Typed(documented / "workspace", capsys)
    made.make_quickstart_the_latest()
    return made


class Typed:
    """Runs commands of `dlas` in this process, as typed in the folder that the pages' commands run in."""

    def __init__(self, workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._workspace, self._capsys = workspace, capsys

    def run(self, command: str) -> str:
        given = arguments(command)
        assert given is not None, f"add '{command}' to NOT_RUN, or make it one of dlas"
        if command.startswith(QUICKSTART):
            given += ["--trials", str(self._trials(command))]
        with pytest.raises(SystemExit) as ended:
            cli.main(given)
        output = self._capsys.readouterr()
        assert ended.value.code in ((0, 1) if given[0] == "best" else (None, 0)), f"{command}\n{output}"
        return output.out

    def make_quickstart_the_latest(self) -> None:
        """Add a trial to the quickstart if another study, of other tests on the workspace, finished one since."""
        studies = Records(Workspace(self._workspace).url).studies() if self._workspace.exists() else []
        if studies and studies[0] != "quickstart":
            self.run(f"{QUICKSTART} --seed 0")

    def _trials(self, command: str) -> int:
        """Return how many trials a run brings the quickstart to: its options are tried on one more than there are."""
        done = sum(Records(Workspace(self._workspace).url).count("quickstart"))
        as_it_is = command == QUICKSTART or "--engine ray" in command  # which test_ray tries
        return max(FIRST_TRIALS, done if as_it_is else done + 1)


def test_every_command_is_run_or_listed_with_a_reason() -> None:
    shown = set(documents.commands())
    assert set(NOT_RUN) <= shown, "and nothing else is listed"
    assert {command for command in shown if arguments(command) is None} <= set(NOT_RUN)


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    # Its commands run the quickstart with other samplers; the contract of samplers tries each.
    [pytest.param(page, marks=pytest.mark.nightly) if page == TUNING else page for page in PAGES],
    ids=stem,
)
def test_the_commands_run(page: Path, typed: Typed) -> None:
    ran = [command for command in documents.commands(page) if command not in NOT_RUN]
    outputs = {command: typed.run(command) for command in ran}
    for command, output in outputs.items():
        if " best " in command and "--json" not in command:
            assert "The most accurate stack" in output or "No stack fits" in output
        if command.startswith(QUICKSTART):
            assert "the fronts as a page: workspace/quickstart.html" in output
            assert Path("workspace/quickstart.html").stat().st_size > 1_000_000, "plotly.js is inside"
    if page == RESULTS:
        assert Path("trials.csv").read_text().count("\n") == 1 + len(explorer.frame())
        assert Path("trials.parquet").exists()
    if page == REPORTS:
        assert Path("front.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("given", DLAS, ids=shlex.join)
def test_the_commands_are_such_as_dlas_takes(given: list[str]) -> None:
    COMMANDS[given[0]].make_context(given[0], given[1:])


def test_every_command_of_the_program_is_shown() -> None:
    assert set(COMMANDS) == {given[0] for given in DLAS}


def test_every_option_of_the_program_is_named() -> None:
    text = "".join(page.read_text() for page in PAGES)
    for command in {given[0] for given in DLAS}:
        assert [option for option in options(command) if f"{option}" not in text] == [], command


@pytest.mark.nightly  # another version of TVM alone changes it
@pytest.mark.parametrize("program", ["rpc_tracker", "rpc_server", "query_rpc_tracker"])
def test_tvms_programs_take_the_options(program: str) -> None:
    shown = [command for command in documents.commands(DEVICES, BOARDS) if f" tvm.exec.{program} " in command]
    named = {option for command in shown for option in re.findall(r"--[a-z-]+", command)}
    answer = subprocess.run([sys.executable, "-m", f"tvm.exec.{program}", "--help"], capture_output=True, text=True)
    assert named
    assert [option for option in sorted(named) if option not in answer.stdout] == []


def test_boards_are_given_the_versions_that_are_installed_here() -> None:
    pinned = re.findall(r'"?(apache-tvm[\w-]*)(?:\[\w+\])?==([\w.]+)', BOARDS.read_text())
    assert dict(pinned) == {name: metadata.version(name) for name in ("apache-tvm", "apache-tvm-ffi")}


# --- code


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


# --- search spaces and devices


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


# --- tables


def first_cells(page: Path, heading: str = "") -> set[str]:
    return {name for row in documents.rows(page, heading) for name in documents.code(row[0])}


def test_the_table_of_axes_is_complete() -> None:
    text = SPACES.read_text() + TUNING.read_text()
    for axis in AXES:
        assert f"| `{axis}` |" in text
    for kind in ("dataset", "model", "compression", "algorithm", "sampler", "tuner"):
        for name in plugins.names(kind):
            assert f"`{name}`" in text, f"{kind} {name}"


def test_plugins_are_described() -> None:
    assert first_cells(MODELS, "## Data sets") == set(plugins.names("dataset"))
    assert first_cells(TUNING, "## Samplers") == set(plugins.names("sampler"))
    for name in plugins.names("compression"):
        assert name == "none" or f"`{name}`" in MODELS.read_text()
    pretrained = {name for name in plugins.names("model") if plugins.literal("model", name, "PRETRAINED")}
    (listed,) = re.findall(r'`"pretrained"` downloads (.*?) at width 1', MODELS.read_text(), re.DOTALL)
    assert set(documents.code(listed)) - {"torch.hub"} == pretrained


def test_the_table_of_algorithms_is_so() -> None:
    table = {documents.code(row[0])[0]: row for row in documents.rows(OPS, "## Algorithms")}
    assert set(table) == set(plugins.names("algorithm"))
    for name, (_, _, formats, dtypes) in table.items():
        assert tuple(formats.split(", ")) == plugins.literal("algorithm", name, "FORMATS")
        assert tuple(dtypes.split(", ")) == plugins.literal("algorithm", name, "DTYPES")


def test_the_account_of_a_layer_is_described() -> None:
    import dlas_ops

    fields = set(inspect.signature(dlas_ops.Layer).parameters)
    assert first_cells(OPS, "## The account") == fields


@pytest.mark.parametrize("table", ["search", *Settings.model_fields])
def test_the_tables_of_settings_are_so(table: str) -> None:
    shown = {documents.code(row[0])[0]: row[1] for row in documents.rows(SPACES, f"### `[{table}]`")}
    fields = (Search if table == "search" else type(getattr(Settings(), table))).model_fields
    assert set(shown) == set(fields)
    for name, field in fields.items():
        default = "".join(documents.code(shown[name]))  # none is shown where there is none
        expected = list(field.default) if isinstance(field.default, tuple) else field.default
        assert (tomllib.loads(f"default = {default}")["default"] if default else None) == expected, name


def test_the_keys_of_a_device_are_described() -> None:
    assert first_cells(DEVICES, "## The devices file") == set(devices.Device.model_fields) - {"name"}


@pytest.mark.slow
def test_the_columns_of_a_table_are_described(grid: Ran) -> None:
    assert set(explorer.frame(grid.workspace).columns) - first_cells(RESULTS, "## Tables") == set()


@pytest.mark.slow
def test_the_files_of_a_workspace_are_described(documented: Path) -> None:
    workspace = documented / "workspace"
    described = [name for row in documents.rows(RESULTS, "## The workspace") for name in documents.code(row[0])]
    tops = {name.split("/")[0] for name in described}
    assert {path.name for path in workspace.iterdir() if path.suffix not in (".html", ".db-wal", ".db-shm")} <= tops
    below = {name.split("/")[1] for name in described if name.startswith("artifacts/")}
    folders = {path.name for path in (workspace / "artifacts").iterdir()}
    assert folders <= below
    executed = folders & set(plugins.names("stage"))
    assert {"train", "build"} <= executed
    for name in described:
        _, _, rest = name.partition("/")
        if name.startswith("artifacts/") and rest.split("/")[0] in executed:
            assert list(workspace.glob(re.sub(r"<\w+>", "*", name))), name
    assert plugins.names("stage") == tuple(sorted(below & set(plugins.names("stage")) | {"measure"}))


@pytest.mark.parametrize("package", ["explorer", "dlas_ops"])
def test_the_packages_stand_in_their_order(package: str) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = (each["layers"] for each in contracts if each.get("containers") == [package])
    layers = [layer.split(" | ") for layer in layers]
    names = [documents.code(row[0]) for row in documents.rows(HOUSE, "## The house")]
    start = names.index(layers[0])
    assert names[start : start + len(layers)] == layers


# --- links and language


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_links_lead_somewhere(page: Path) -> None:
    for link in documents.links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in documents.anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_the_files_it_names_exist(page: Path) -> None:
    folders = "explorer|dlas_ops|search_spaces|docs|tests|examples"
    named = re.findall(rf"`((?:{folders})/[\w./]*)`", page.read_text())
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_pages_name_files() -> None:
    assert "explorer/line/trials/trial.py" in HOUSE.read_text(), "the place to start reading"
    assert "tests/benchmarks" in README.read_text()


@pytest.mark.parametrize("page", PAGES, ids=stem)
def test_the_english_is_plain(page: Path) -> None:
    text = re.sub(r'"[^"]*"', '""', " ".join(documents.prose(page).split()))
    assert re.findall(r"(?:^|[.:|] |- )(?:Who|What|Have|Let)\b[^.|]*", text) == []
    assert re.findall(r", of which|\b(?:as ever|for certain|besides|earlier versions?)\b", text) == []
