"""Defects of Optuna, SciPy, Typer, Pillow and Python that the rest works around.

Each test fails on the day its workaround is no longer needed.
Those that take seconds run nightly: no change here, only another version of the library makes them fail.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from PIL import Image
from scipy.stats import qmc

from tests.data_sets import tiff
from tests.workarounds import run


def test_optuna_still_computes_steps_in_binary() -> None:
    """`explorer.space.optuna_parameters` takes the choice that lies nearest."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = {study.ask().suggest_float("ratio", 0.2, 1.0, step=0.2) for _ in range(50)}
    assert len(drawn) == 5
    assert not drawn <= {0.2, 0.4, 0.6, 0.8, 1.0}


def test_typer_still_leaves_the_value_out_of_what_it_says_of_an_option() -> None:
    """`explorer.cli.refusals` appends it."""
    script = """
import typer
app = typer.Typer()
@app.command()
def main(count: int) -> None: ...
try:
    app(["xyzzy"], standalone_mode=False)
except typer.BadParameter as error:
    print(error.format_message())
"""
    ended = run(script)
    assert "valid integer" in ended.stdout, ended.stderr
    assert "xyzzy" not in ended.stdout


def test_optuna_still_reads_all_trials_of_a_study_or_none() -> None:
    """`optuna_database.OptunaDatabase.trials` and `trials_of`: optuna 5.0 has no method that reads some of them."""
    assert [*inspect.signature(optuna.Study.get_trials).parameters] == ["self", "deepcopy", "states"]
    assert [*inspect.signature(RDBStorage.get_all_trials).parameters] == ["self", "study_id", "deepcopy", "states"]
    assert not hasattr(optuna.create_study(), "storage")


def test_optuna_still_keeps_the_first_value_of_a_constraint() -> None:
    """`optuna_database.with_constraints`: optuna 5.0 can neither change nor remove one."""
    trial = optuna.trial.create_trial(value=0.0, constraints={"size_bytes <= 1": 2.0})
    with pytest.warns(UserWarning, match="ignored"):
        trial.set_constraint("size_bytes <= 1", 1.0)
    assert trial.constraints == {"size_bytes <= 1": 2.0}
    assert trial.system_attrs == {"constraints:size_bytes <= 1": 2.0}
    assert not hasattr(trial, "remove_constraint")


def test_scipy_still_cannot_skip_no_point_of_a_sequence() -> None:
    """`explorer.search.samplers.qmc`: scipy 1.17 raises OverflowError."""
    with pytest.raises(OverflowError):
        qmc.Sobol(2, scramble=True, rng=0).fast_forward(0)


@pytest.mark.nightly
def test_two_threads_still_cannot_parse_at_once() -> None:
    """`explorer.core.plugins._body` holds a lock while it parses: CPython 3.11, the oldest version supported."""
    if sys.version_info[:2] != (3, 11):
        pytest.skip("the lock is for CPython 3.11")
    script = """
import ast, gc, sys, threading

def parse_meanwhile(phase, info):  # called in the middle of a tree
    gc.callbacks.clear()
    other = threading.Thread(target=ast.parse, args=("x = 1",))
    other.start()
    other.join()

source = "\\n".join(f"x{i} = [{{'a': (1, 2, [3, {{'b': 4}}])}}, f({i}, y={i})]" for i in range(300))
gc.set_threshold(50)
gc.callbacks.append(parse_meanwhile)
try:
    ast.parse(source)
except SystemError:
    sys.exit(1)
"""
    assert run(script).returncode == 1


def test_pillow_still_turns_no_negative_of_16_bits(tmp_path: Path) -> None:
    """A file of `explorer.datasets._colours`."""
    shown = {}
    for dtype in ("uint8", "uint16"):
        tiff(0, dtype, photometric=0)(tmp_path / "white.tif")
        with Image.open(tmp_path / "white.tif") as image:
            shown[dtype] = image.getpixel((0, 0))
    assert shown == {"uint8": 255, "uint16": 0}
