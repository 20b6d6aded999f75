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
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa

import explorer
from explorer.core.configuration import Configuration
from explorer.core.errors import Failure, WorkspaceError
from explorer.core.measurement.sessions import Session
from explorer.workspace.database import lasting
from explorer.workspace.database.connection import LEADS, connect
from explorer.workspace.database.records import Record, Records
from explorer.workspace.holding import alone_in_database
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


@dataclass
class Server:
    """A server that listens on a socket in a folder of its own, as `user`: it refuses to run as root."""

    folder: str
    user: str
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL, with a place for the name of a database."""
        return f"postgresql+psycopg://tester@/{{}}?host={self.folder}"

    def start(self) -> None:
        serve = [
            str(programs() / "postgres"),
            "-D",
            f"{self.folder}/data",
            "-k",
            self.folder,
            "-c",
            "listen_addresses=",
        ]
        self.process = subprocess.Popen(serve, user=self.user, cwd=self.folder, stderr=subprocess.DEVNULL)
        while not answers(self.url.format("postgres")):
            time.sleep(0.05)

    def stop(self, mode: signal.Signals) -> None:
        """End it: SIGINT ends its sessions ("fast"), SIGQUIT everything at once ("immediate")."""
        assert self.process
        self.process.send_signal(mode)
        self.process.wait()

    def database(self) -> str:
        """Return the URL of a fresh database."""
        name = f"studies{next(NUMBERS)}"
        engine = sa.create_engine(self.url.format("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        return self.url.format(name)


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    user = "postgres" if os.getuid() == 0 else getpass.getuser()
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, user)
        initdb = [str(programs() / "initdb"), "-D", f"{folder}/data", "-U", "tester", "-A", "trust"]
        subprocess.run(initdb, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        made = Server(folder, user)
        made.start()
        try:
            yield made
        finally:
            made.stop(signal.SIGQUIT)  # at once: nothing of it is needed again


@pytest.fixture
def server(own_server: Server) -> str:
    """The URL, without a database."""
    return own_server.url


@pytest.fixture
def url(own_server: Server) -> str:
    """The URL of a fresh database."""
    return own_server.database()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return studies.write_small(tmp_path)


@pytest.mark.slow
def test_a_study_is_the_same_as_in_a_file(url: str, undisturbed: Path, tmp_path: Path) -> None:
    small, folder = undisturbed / "small.toml", tmp_path / "workspace"
    summary = explorer.run(small, folder, database=url, trials=3, observer=Events())
    assert (summary.complete, summary.added) == (3, 3)
    summary = explorer.run(small, folder, observer=Events())
    assert (summary.complete, summary.added) == (4, 1)
    assert not Workspace(folder).database.exists()
    assert (folder / "database").stat().st_mode & 0o777 == 0o600

    frame = explorer.frame(folder, "small")
    in_file = explorer.frame(undisturbed / "workspace", "small").set_index("configuration_id")
    same = ["accuracy", "size_bytes", "train_key", "build_key", "evaluate_key", "measure_key"]
    assert frame[same].equals(in_file.loc[frame["configuration_id"], same].reset_index(drop=True))
    assert len(explorer.front(folder))
    assert explorer.best(1e9, workspace=folder).as_dict()
    trials = optuna.load_study(study_name="small", storage=url).trials
    assert [trial.state for trial in trials] == [optuna.trial.TrialState.COMPLETE] * 4
    executed = Records(url).executions.frame()
    assert executed[executed["stage"] != "measure"].groupby("key").size().max() == 1


def test_another_machine_waits_until_the_one_that_runs_studies_ends(url: str) -> None:
    lead = f"""
import time
from explorer.workspace.holding import alone_in_database
from explorer.workspace.database.records import Record, Records
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
    assert not leads.wait(1)
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


class Restarting(Events):
    """Restarts a server over and over, in both modes, whenever a stage begins or a trial ends."""

    def __init__(self, server: Server) -> None:
        super().__init__()
        self.server, self.restarts, self.lock = server, 0, threading.Lock()

    def restart(self) -> None:
        with self.lock:
            self.restarts += 1
            self.server.stop(signal.SIGQUIT if self.restarts % 2 else signal.SIGINT)
            self.server.start()

    def started(self, worker: str, stage: str) -> None:
        super().started(worker, stage)
        if stage in ("train", "build", "measure"):
            threading.Thread(target=self.restart).start()  # in the middle of whatever is put on record then

    def ended(self, number: int, configuration: Configuration, outcome: Record | Failure) -> None:
        super().ended(number, configuration, outcome)
        self.restart()


def same_values(workspace: Path, undisturbed: Path) -> None:
    """Assert that two workspaces have the same trials with the same values, latencies aside."""
    frames = [
        explorer.frame(each, "small").set_index("configuration_id").sort_index() for each in (workspace, undisturbed)
    ]
    varying = [*studies.VARYING, "seconds", "number"]
    first, second = (frame.drop(columns=varying, errors="ignore") for frame in frames)
    assert first.equals(second[first.columns])


@pytest.mark.slow
def test_a_study_goes_on_while_its_server_is_restarted(
    own_server: Server, url: str, undisturbed: Path, tmp_path: Path
) -> None:
    small, folder, events = undisturbed / "small.toml", tmp_path / "workspace", Restarting(own_server)
    summary = explorer.run(small, folder, database=url, observer=events)
    own_server.stop(signal.SIGQUIT)  # between two runs, too
    own_server.start()
    assert events.restarts > 8
    assert (summary.complete, summary.failed, summary.added) == (4, 0, 4)
    assert explorer.run(small, folder, observer=events).added == 0
    same_values(folder, undisturbed / "workspace")
    states = [trial.state for trial in optuna.load_study(study_name="small", storage=url).trials]
    assert states == [optuna.trial.TrialState.COMPLETE] * 4
    executed = Records(url).executions.frame()
    assert executed[executed["stage"] != "measure"].groupby("key").size().max() == 1
    sessions = executed[executed["stage"] == "measure"].groupby("key").size()
    assert [len(Records(url).measurements.of(str(key), "local")) for key in sessions.index] == list(sessions)


def test_a_server_that_stays_away_ends_the_run_in_one_sentence(
    own_server: Server, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "AWAY_SECONDS", 0.5)
    records = Records(url)
    with alone_in_database(records, pytest.fail):
        records.executions.add("train", "first", 1.0)
        own_server.stop(signal.SIGINT)
        try:
            with pytest.raises(WorkspaceError, match=r"has not answered for 0\.5 s: .*; give the same command again"):
                records.executions.add("train", "second", 1.0)
        finally:
            own_server.start()
        records.executions.add("train", "third", 1.0)
        assert records.executions.frame()["key"].to_list() == ["first", "third"]


def test_what_was_committed_without_an_answer_is_on_record_once(url: str) -> None:
    records, cut = Records(url), iter([True, True, True])

    def lose(connection: sa.Connection) -> None:
        if next(cut, False):  # the connection breaks when the server has done it, and nobody hears of it
            assert connection.connection.dbapi_connection
            connection.connection.dbapi_connection.commit()
            ended = sa.text("SELECT pg_terminate_backend(pg_backend_pid())")
            connection.execute(ended)

    sa.event.listen(records.engine, "commit", lose)
    records.executions.add("train", "key", 1.0)
    assert records.measurements.add("key", "local", [1.0], {}) == 1
    records.measurements.add_session("key", "local", 1, Session(1.0), [1.0], {})
    assert next(cut, None) is None
    assert len(records.executions.frame()) == 1
    assert len(records.measurements.of("key", "local")) == 2
    assert len(records.sessions.of("key", "local")) == 1


@pytest.mark.slow
def test_the_right_to_run_studies_outlives_a_restart_unless_another_machine_takes_it(
    own_server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "AWAY_SECONDS", 5.0)
    records, other = Records(url), Records(url)
    with alone_in_database(records, pytest.fail):
        own_server.stop(signal.SIGINT)
        own_server.start()
        records.executions.add("train", "key", 1.0)
        with other.engine.connect() as connection:
            assert not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(LEADS)))
        own_server.stop(signal.SIGQUIT)
        own_server.start()
        with sa.create_engine(url).connect() as connection:
            assert connection.scalar(sa.select(sa.func.pg_try_advisory_lock(LEADS)))
            monkeypatch.setattr(lasting, "AWAY_SECONDS", 0.3)
            with pytest.raises(WorkspaceError, match="another machine runs a study in the database since its server"):
                records.executions.add("train", "second", 1.0)
