"""Fixtures that several test modules share."""

from __future__ import annotations

import fcntl
import os
import pickle
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
from hypothesis import settings

from explorer.core.artifact import Artifact
from tests import ROOT, forks, studies

Made = TypeVar("Made")

# A shell's job in the background ignores Ctrl-C, and so would the processes that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# `make test-all` draws twenty times as many cases as `make test`; HYPOTHESIS_PROFILE names one of the two.
settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("nightly", max_examples=500, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))


@dataclass(frozen=True)
class Ran:
    """A finished study."""

    space: Path
    workspace: Path
    events: studies.Events


@dataclass(frozen=True)
class Once:
    """Makes what takes long once for all workers of pytest-xdist, in a folder that they share."""

    folder: Path

    def made(self, name: str, make: Callable[[Path], Made]) -> Made:
        """Return what `make` returns of a folder that it fills; only the first worker that asks for `name` calls it."""
        folder, result = self.folder / name, self.folder / f"{name}.pickle"
        with (self.folder / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not result.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                made = make(folder)
                result.write_bytes(pickle.dumps(made))
            found: Made = pickle.loads(result.read_bytes())
        return found

    def ran(self, name: str, run: Callable[[Path], Ran], into: Path) -> Ran:
        """Return a copy, in the folder `into`, of the study that `run` runs in a folder of its own."""
        ran = self.made(name, run)
        shutil.copytree(ran.space.parent, into, dirs_exist_ok=True)
        return replace(ran, space=into / ran.space.name, workspace=into / ran.workspace.name)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """The maker of things that are made once in this run of the tests."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "once"
    folder.mkdir(exist_ok=True)
    return Once(folder)


@pytest.fixture(scope="session", autouse=True)
def _forked_workers(once: Once) -> Iterator[None]:
    """Fork the workers of all studies off processes that this run of the tests shares."""
    with forks.used(once.folder, os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()):
        yield


@pytest.fixture(autouse=True)
def _all_cores() -> Iterator[None]:
    """Undo what a test in this process does to its cores, for the next one: TVM binds the thread that calls it."""
    cores = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, cores)


@pytest.fixture(scope="session")
def grid(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A full grid of 16 configurations over two models, run once for all tests that only read it."""

    def run(folder: Path) -> Ran:
        ran = Ran(studies.write_space(folder), folder / "workspace", studies.Events())
        studies.run(ran.space, ran.workspace, ran.events)
        return ran

    return once.ran("grid", run, tmp_path_factory.mktemp("grid"))


@pytest.fixture(scope="session")
def undisturbed(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the space `small.toml`, of 4 configurations, and a workspace with its finished study."""

    def run(folder: Path) -> Ran:
        ran = Ran(studies.write_small(folder), folder / "workspace", studies.Events())
        studies.run(ran.space, ran.workspace, ran.events)
        return ran

    return once.ran("undisturbed", run, tmp_path_factory.mktemp("undisturbed")).space.parent


@pytest.fixture(scope="session")
def documented(grid: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the pages' commands run in: bundled spaces, examples, and a workspace with the grid's stages.

    The quickstart there trains as the grid does, so that it finds its networks trained.
    """
    folder = tmp_path_factory.mktemp("documented")
    shutil.copytree(grid.workspace, folder / "workspace")
    shutil.copytree(ROOT / "search_spaces", folder / "search_spaces")
    shutil.copytree(ROOT / "examples", folder / "examples")
    with (folder / "search_spaces" / "quickstart.toml").open("a") as file:
        file.write(studies.SHORT)
    return folder


@pytest.fixture(scope="session")
def digits(once: Once) -> Artifact:
    """The digits, as the data stage leaves them."""
    from tests import torch_stages  # most tests do without torch, which takes seconds to import

    return once.made("digits", torch_stages.data)


@pytest.fixture(scope="session")
def trained(once: Once, digits: Artifact) -> Artifact:
    """A narrow ResNet-18 that reads the digits."""
    from tests import torch_stages

    return once.made("trained", lambda folder: torch_stages.train(folder, digits, epochs=5))


class Compress(Protocol):
    """Compresses the network `trained`."""

    def __call__(self, compression: str = "none", ratio: float | None = None, epochs: int = 1) -> Artifact:
        """Return the network compressed and fine-tuned, which is the same artifact for the same arguments."""


@pytest.fixture(scope="session")
def compressed(once: Once, digits: Artifact, trained: Artifact) -> Compress:
    """What compresses the narrow ResNet-18, each way once for all tests that only read the network."""
    from tests import torch_stages

    def compress(compression: str = "none", ratio: float | None = None, epochs: int = 1) -> Artifact:
        return once.made(
            f"{compression}-{ratio}-{epochs}",
            lambda folder: torch_stages.compress(folder, digits, trained, compression, ratio, epochs=epochs),
        )

    return compress
