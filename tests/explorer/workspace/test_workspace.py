"""The places of a workspace's files, and of the database that its studies are in."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.core.errors import WorkspaceError
from explorer.workspace.database.urls import without_passwords
from explorer.workspace.workspace import Workspace


def test_studies_are_in_a_file_unless_the_workspace_names_a_server(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    assert place.url == f"sqlite:///{tmp_path}/study.db"
    assert not place.has_studies
    with pytest.raises(WorkspaceError, match=f"no study in workspace '{tmp_path}'; start one with 'dlas run "):
        place.must_exist()
    place.server.write_text("postgresql+psycopg://me@host/name")
    assert place.url == "postgresql+psycopg://me@host/name"
    assert place.must_exist() is place


def test_a_database_elsewhere_is_remembered_for_its_owner_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.db"
    place = Workspace(tmp_path / "w").on(url)
    assert place.url == place.server.read_text() == url
    assert place.server.stat().st_mode & 0o777 == 0o600
    assert place.on(url).on(None) is place
    with pytest.raises(WorkspaceError, match="are in another database, sqlite:///"):
        place.on(f"sqlite:///{tmp_path}/third.db")


def test_passwords_are_not_shown() -> None:
    assert without_passwords("postgresql://me:secret@host/name?x") == "postgresql://me:***@host/name?x"
    assert without_passwords("sqlite:///w/study.db") == "sqlite:///w/study.db"


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
    if "psycopg" in given:
        pytest.importorskip("psycopg", reason="pip install 'dlas-explorer[postgresql]'")
    with pytest.raises(WorkspaceError, match=word) as raised:
        Workspace(tmp_path).on(given)
    assert "secret" not in str(raised.value)
    assert not list(tmp_path.iterdir())
