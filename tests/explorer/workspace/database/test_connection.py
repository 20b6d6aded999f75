"""A database that several processes open at once, before it has tables and while it has."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from explorer.core.errors import WorkspaceError
from explorer.core.measurement.sessions import Readings, Session
from explorer.workspace.database.connection import _write_ahead, connect, create_tables
from explorer.workspace.database.records import Records
from explorer.workspace.database.schema import Schema, SessionRow

# Creates the tables of each database in turn when a line says so.
OPENER = """
import sys
from explorer.workspace.database.connection import connect, create_tables
print(flush=True)
for url in sys.stdin:
    create_tables(connect(url.strip()))
    print(flush=True)
"""


def test_processes_that_create_the_tables_at_once_do_not_disturb_one_another(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENER]
    openers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for opener in openers:
        assert opener.stdout
        opener.stdout.readline()
    for number in range(20):
        for opener in openers:
            assert opener.stdin
            opener.stdin.write(f"sqlite:///{tmp_path}/{number}.db\n")
            opener.stdin.flush()
        for opener in openers:
            assert opener.stdout
            opener.stdout.readline()
    errors = [opener.communicate()[1] for opener in openers]
    assert [opener.returncode for opener in openers] == [0, 0, 0], errors
    names = set(sa.inspect(connect(f"sqlite:///{tmp_path}/0.db")).get_table_names())
    assert names == {table.name for table in Schema.metadata.sorted_tables}


def test_a_file_that_cannot_be_written_is_an_error_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        connection.execute("CREATE TABLE anything (number)")
    monkeypatch.setattr("explorer.workspace.database.connection.time.sleep", lambda seconds: pytest.fail("it waits"))
    reader = sqlite3.connect(f"file:{tmp_path}/study.db?mode=ro", uri=True)
    with contextlib.closing(reader), pytest.raises(sqlite3.OperationalError, match="readonly"):
        _write_ahead(reader)


def test_indices_are_created_with_their_tables(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path}/study.db")
    create_tables(engine)
    for table in Schema.metadata.sorted_tables:
        found = {index["name"] for index in sa.inspect(engine).get_indexes(table.name)}
        assert {index.name for index in table.indexes} <= found


def test_a_database_of_an_earlier_version_gets_the_columns_that_it_lacks(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    earlier = connect(url)
    with earlier.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE dlas_sessions (measurement INTEGER PRIMARY KEY, key VARCHAR, device VARCHAR, "
                "threads INTEGER, median_ms FLOAT, arithmetic_ms FLOAT, wake_us FLOAT, memory_ms FLOAT, taken FLOAT)"
            )
        )
        row = {"measurement": 70, "key": "k", "device": "d", "threads": 1, "median_ms": 4.0}
        connection.execute(sa.insert(SessionRow).values(**row))
    for _ in range(2):  # the second time nothing is missing
        records = Records(url)
        assert records.sessions.of("k", "d") == [Session(4.0)]
        records.close()
    session = Session(5.0, Readings(spread=0.02), {"load_ms": 3.0}, 2**40)
    records.measurements.add_session("k", "d", 1, session, [5.0], {})
    assert records.sessions.of("k", "d") == [session, Session(4.0)], "by their measurements, of which this is the first"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "'nonsense' is no SQLAlchemy URL, such as postgresql"),
        ("postgres://host/name", "'postgres://host/name' is no SQLAlchemy URL, such as postgresql"),
        ("mysql+mysqldb://host/name", r"there is no driver for mysql\+mysqldb: .*; for PostgreSQL: pip install"),
    ],
)
def test_what_is_no_database_is_one_sentence(url: str, message: str) -> None:
    with pytest.raises(WorkspaceError, match=message):
        connect(url)
