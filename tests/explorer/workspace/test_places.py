"""A workspace is found again by any path that the file system takes, by every way to open it, and read-only too."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.core.errors import WorkspaceError
from explorer.workspace.database import connection
from explorer.workspace.database.connection import connect
from explorer.workspace.database.records import Records
from explorer.workspace.database.urls import sqlite_url, without_passwords
from explorer.workspace.workspace import Workspace

# Names of folders, rich in what means something in a URL, a shell or a format.
SPECIAL = "?%#'\"@:;&=+ [](){}\\$!*~^|<>,.-é☕2F\n\t"
NAMES = st.text(st.sampled_from(SPECIAL) | st.characters(codec="utf-8"), max_size=40)


def alone(drawn: Path, name: str) -> Workspace:
    """Return a workspace in a folder of this `name` that has put something on record, and left nothing elsewhere."""
    place = Workspace(drawn / name / "w")
    place.make()
    records = Records(place.url)
    records.executions.add("train", "k", 1.0)
    records.close()
    with contextlib.closing(sqlite3.connect(place.database)) as connection:
        assert connection.execute("SELECT count(*) FROM dlas_executions").fetchone() == (1,)
    assert [os.listdir(drawn), os.listdir(place.root)] == [[name], ["study.db"]]
    return place


@given(name=NAMES.map(lambda name: re.sub("[/\0]", "", name)).filter(lambda name: name.strip(".")))
@settings(max_examples=25, deadline=None)
def test_studies_lie_in_their_workspace_whatever_its_name(name: str) -> None:
    with tempfile.TemporaryDirectory() as drawn:
        place = alone(Path(drawn), name)
        assert sa.make_url(place.url).database == str(place.database)
        assert len(Records(Workspace(place.root).must_exist().url).executions.frame()) == 1


@pytest.mark.parametrize("name", ["why?mode=memory&uri=true", "feature%2Flogin", "me@host:x;'#\"☕", "a%20b"])
def test_optuna_finds_the_study_where_it_lies(name: str, tmp_path: Path) -> None:
    place = alone(tmp_path, name)
    optuna.create_study(study_name="s", storage=place.url)
    assert optuna.get_all_study_names(place.url) == ["s"]
    assert os.listdir(tmp_path) == [name]
    with contextlib.closing(sqlite3.connect(place.database)) as connection:
        assert connection.execute("SELECT study_name FROM studies").fetchall() == [("s",)]


@pytest.mark.parametrize("inside", [False, True])
def test_what_is_no_folder_is_said_in_one_sentence(inside: bool, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.touch()
    place = Workspace(file / "w" if inside else file)
    with pytest.raises(WorkspaceError, match="is no folder"):
        place.make()
    with pytest.raises(WorkspaceError, match=f"'{place.root}'"):
        place.must_exist()


@pytest.mark.parametrize("name", ["x" * 300, os.fsdecode(b"caf\xe9")])
def test_a_folder_that_cannot_be_is_said_in_one_sentence(name: str, tmp_path: Path) -> None:
    for use in (Workspace(tmp_path / name).make, Workspace(tmp_path / name).must_exist):
        with pytest.raises(WorkspaceError, match=r"cannot be used: File name too long|is not UTF-8"):
            use()


@pytest.mark.parametrize("killed", [False, True])
def test_a_database_is_read_where_nothing_can_be_written(
    killed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was killed leaves its last changes in a file of their own beside the database."""
    (tmp_path / "first").mkdir()
    first = Records(sqlite_url(tmp_path / "first" / "study.db"))
    first.executions.add("train", "k", 2.5)
    place = tmp_path / "w?"
    if killed:
        shutil.copytree(tmp_path / "first", place)
    first.close()
    if not killed:
        shutil.copytree(tmp_path / "first", place)
    before = {file: (stat.S_IMODE(file.stat().st_mode), file.stat().st_size) for file in place.iterdir()}
    assert ("study.db-wal" in {file.name for file in before}) == killed
    monkeypatch.setattr(connection, "is_read_only", lambda file: True)  # whoever tests may be root, who writes anywhere
    records = Records(sqlite_url(place / "study.db"))
    assert records.executions.frame()["seconds"].tolist() == [2.5]
    with pytest.raises(WorkspaceError, match="readonly"):
        records.executions.add("train", "l", 1.0)
    records.close()
    assert {file: (stat.S_IMODE(file.stat().st_mode), file.stat().st_size) for file in place.iterdir()} == before


def test_a_database_of_an_earlier_version_that_is_read_only_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite3.connect(tmp_path / "study.db").execute("CREATE TABLE trials (number INTEGER)").connection.close()
    monkeypatch.setattr(connection, "is_read_only", lambda file: True)
    with pytest.raises(WorkspaceError, match="is read-only and of an earlier version"):
        Records(sqlite_url(tmp_path / "study.db"))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3c:r@/et@host:port/name",
        "postgresql://me:s3c:r@/et@[::1/name",
        "postgres://me:s3c:r@/et@host/name?sslmode=off",
        "sqlite://me:s3c:r@/et@host/name",
        "postgresql://host/name?password=s3c:r@/et",
        "nothing://me:s3c:r@/et@host/name",
    ],
)
def test_no_error_echoes_a_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError) as raised:
        connect(url.replace("postgresql://host", "postgresq://host"))
    for part in ("s3c", "c:r", "/et@"):
        assert part not in str(raised.value)
    assert "s3c" not in without_passwords(f"dlas run space.toml --database {url} -w w")
