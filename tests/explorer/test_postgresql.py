"""Studies in a PostgreSQL server's database: as in a file, and one machine at a time runs them."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa

import explorer
from explorer import search, space
from explorer.errors import WorkspaceError
from explorer.records import Records
from explorer.workspace import Workspace
from tests import studies
from tests.conftest import Ran
from tests.studies import Events

pytest.importorskip("psycopg", reason="pip install 'dlas-explorer[postgresql]'")

NUMBERS = count()


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, which Debian does not put on the path."""
    places = [*map(Path, filter(None, [shutil.which("initdb")])), *Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not places:
        pytest.skip("no PostgreSQL server is installed")
    return places[0].parent


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL, without a database, of a server that listens on a socket in a folder of its own."""
    user = "postgres" if os.getuid() == 0 else getpass.getuser()  # it refuses to run as root
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, user)
        initdb = [str(programs() / "initdb"), "-D", f"{folder}/data", "-U", "tester", "-A", "trust"]
        subprocess.run(initdb, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        serve = [str(programs() / "postgres"), "-D", f"{folder}/data", "-k", folder, "-c", "listen_addresses="]
        running = subprocess.Popen(serve, user=user, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            while not list(Path(folder).glob(".s.PGSQL.*")):
                time.sleep(0.05)
            yield f"postgresql+psycopg://tester@/{{}}?host={folder}"
        finally:
            running.send_signal(signal.SIGINT)
            running.wait()


@pytest.fixture
def url(server: str) -> str:
    """The URL of a fresh database."""
    name = f"studies{next(NUMBERS)}"
    engine = sa.create_engine(server.format("postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    return server.format(name)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return studies.write_space(tmp_path, name="small", models=("resnet18",), algorithms=("gemm",))


@pytest.mark.slow
def test_a_study_is_the_same_as_in_a_file(url: str, small: Path, tmp_path: Path, grid: Ran) -> None:
    folder = tmp_path / "workspace"
    summary = explorer.run(small, folder, database=url, trials=3, observer=Events())
    assert (summary.complete, summary.added) == (3, 3)
    summary = explorer.run(small, folder, observer=Events())
    assert (summary.complete, summary.added) == (4, 1)
    assert not Workspace(folder).database.exists()
    assert (folder / "database").stat().st_mode & 0o777 == 0o600

    frame, in_file = (
        explorer.frame(folder, "small"),
        explorer.frame(grid.workspace, "grid").set_index("configuration_id"),
    )
    same = ["accuracy", "size_bytes", "train_key", "build_key", "evaluate_key", "measure_key"]
    assert frame[same].equals(in_file.loc[frame["configuration_id"], same].reset_index(drop=True))
    assert len(explorer.front(folder))
    assert explorer.best(1e9, workspace=folder).as_dict()
    trials = optuna.load_study(study_name="small", storage=url).trials
    assert [trial.state for trial in trials] == [optuna.trial.TrialState.COMPLETE] * 4
    assert Records(url).executions().groupby("key").size().max() == 1


@pytest.mark.slow
def test_another_machine_waits_and_goes_on_with_what_is_left(url: str, small: Path, tmp_path: Path) -> None:
    """A workspace of its own stands for a machine: the database is all that they have in common."""
    hold = (
        f"import time; from explorer.records import Records\nwith Records('{url}').led(print): print(); time.sleep(999)"
    )
    first = subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE)
    assert first.stdout
    first.stdout.readline()
    events = Events()
    place = Workspace(tmp_path / "second").on(url)
    waiting = threading.Thread(target=search.run, args=(space.load(small), place, events))
    waiting.start()
    while not events.notes:
        time.sleep(0.05)
    assert "another machine runs a study" in events.notes[0]
    assert not events.stages
    first.kill()
    waiting.join()
    assert len(events.outcomes) == 4


def test_a_workspace_stays_with_its_database(url: str, server: str, grid: Ran, tmp_path: Path) -> None:
    place = Workspace(tmp_path).on(url)
    assert place.on(url).on(None).url == url
    for has_studies in (place, Workspace(grid.workspace)):
        with pytest.raises(WorkspaceError, match="are in another database, "):
            has_studies.on(server.format("postgres"))


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ("postgres", "'postgres' is no SQLAlchemy URL"),
        (
            "postgresql+psycopg://me:secret@/none?host=/nowhere",
            r"database postgresql\+psycopg://me:\*\*\*@.* does not answer",
        ),
        ("oracle://host/name", "no driver for oracle"),
    ],
)
def test_says_what_is_wrong_with_a_url_and_forgets_it(given: str, word: str, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match=word) as raised:
        Workspace(tmp_path).on(given)
    assert "secret" not in str(raised.value)
    assert not list(tmp_path.iterdir())
