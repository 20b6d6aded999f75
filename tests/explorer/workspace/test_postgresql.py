"""Studies in a PostgreSQL server's database: as in a file, and run by one machine at a time."""

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
from explorer.core.errors import WorkspaceError
from explorer.workspace.database import connect
from explorer.workspace.holding import alone_in_database
from explorer.workspace.records import Records
from explorer.workspace.workspace import Workspace
from tests import studies
from tests.conftest import Ran
from tests.studies import Events

pytest.importorskip("psycopg", reason="pip install 'dlas-explorer[postgresql]'")

NUMBERS = count()


def programs() -> Path:
    """Return the folder of PostgreSQL's programs, which Debian does not put on the path."""
    places = [*map(Path, filter(None, [shutil.which("initdb")])), *Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not places:
        pytest.skip("needs a PostgreSQL server's programs, initdb and postgres (Debian's package postgresql)")
    return places[0].parent


def answers(url: str) -> bool:
    try:
        connect(url).dispose()
    except WorkspaceError:  # it is starting up
        return False
    return True


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
            url = f"postgresql+psycopg://tester@/{{}}?host={folder}"
            while not answers(url.format("postgres")):
                time.sleep(0.05)
            yield url
        finally:
            running.send_signal(signal.SIGQUIT)  # at once: nothing of it is needed again
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
    return studies.write_small(tmp_path)


@pytest.mark.slow
def test_a_study_is_the_same_as_in_a_file(url: str, small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    summary = explorer.run(small, folder, database=url, trials=3, observer=Events())
    assert (summary.complete, summary.added) == (3, 3)
    summary = explorer.run(small, folder, observer=Events())
    assert (summary.complete, summary.added) == (4, 1)
    assert not Workspace(folder).database.exists()
    assert (folder / "database").stat().st_mode & 0o777 == 0o600

    explorer.run(small, tmp_path / "in_file", observer=Events())
    frame = explorer.frame(folder, "small")
    in_file = explorer.frame(tmp_path / "in_file", "small").set_index("configuration_id")
    same = ["accuracy", "size_bytes", "train_key", "build_key", "evaluate_key", "measure_key"]
    assert frame[same].equals(in_file.loc[frame["configuration_id"], same].reset_index(drop=True))
    assert len(explorer.front(folder))
    assert explorer.best(1e9, workspace=folder).as_dict()
    trials = optuna.load_study(study_name="small", storage=url).trials
    assert [trial.state for trial in trials] == [optuna.trial.TrialState.COMPLETE] * 4
    executed = Records(url).executions()
    assert executed[executed["stage"] != "measure"].groupby("key").size().max() == 1


def test_another_machine_waits_until_the_one_that_runs_studies_ends(url: str) -> None:
    lead = f"""
import time
from explorer.workspace.holding import alone_in_database
from explorer.workspace.records import Records
with alone_in_database(Records('{url}'), print): print(), time.sleep(99)
"""
    first = subprocess.Popen([sys.executable, "-u", "-c", lead], stdout=subprocess.PIPE)
    assert first.stdout
    first.stdout.readline()
    notes: list[str] = []
    leads = threading.Event()

    def wait() -> None:
        with alone_in_database(Records(url), notes.append):
            leads.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not leads.wait(2)
    assert notes == ["another machine runs a study in the database; this one goes on with what is left then"]
    first.kill()
    first.wait()
    waiting.join()
    assert leads.is_set()


@pytest.mark.slow
def test_another_machine_goes_on_with_the_study_of_one_that_is_killed(url: str, small: Path, tmp_path: Path) -> None:
    """Machines have a workspace each, and the studies in common."""
    first, second = (Workspace(tmp_path / name).on(url) for name in ("first", "second"))
    command = [sys.executable, "-m", "tests.studies", str(small)]
    leader = subprocess.Popen([*command, str(first.root), "measure", "run"], stdout=subprocess.DEVNULL, text=True)
    studies.await_training(leader, first.root)
    events = Events()
    summary = studies.run(small, second.root, events)
    assert leader.wait() == -signal.SIGKILL
    assert events.notes[0] == "another machine runs a study in the database; this one goes on with what is left then"
    assert (summary.complete, summary.failed) == (4, 0)
    assert Records(url).count("small") == (4, 0, 0)


def test_a_run_that_fails_leaves_the_database_to_others(url: str) -> None:
    records = Records(url)  # whose pool keeps the connection
    with pytest.raises(KeyboardInterrupt), alone_in_database(records, pytest.fail):
        raise KeyboardInterrupt
    with alone_in_database(Records(url), pytest.fail):
        pass


def test_a_workspace_stays_with_its_database(url: str, server: str, grid: Ran, tmp_path: Path) -> None:
    place = Workspace(tmp_path).on(url)
    assert place.on(url).on(None).url == url
    for has_studies in (place, Workspace(grid.workspace)):
        with pytest.raises(WorkspaceError, match="are in another database, "):
            has_studies.on(server.format("postgres"))
