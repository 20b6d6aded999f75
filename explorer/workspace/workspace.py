"""Folder → the place of everything that a study leaves behind in it."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from explorer.core import names
from explorer.core.errors import WorkspaceError
from explorer.core.files import regular
from explorer.workspace.database.urls import sqlite_url, without_passwords

MOST_OF_URL = 1 << 16  # bytes


class Workspace:
    """Every file name below one workspace folder, which may not exist yet."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.artifacts = root / "artifacts"
        self.logs = root / "logs"
        self.database = root / "study.db"
        self.server = root / "database"
        self.lock = root / "lock"
        self.digests = root / "digests.db"

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database, for Optuna and ``optuna-dashboard`` too."""
        if not os.path.lexists(self.server):
            return sqlite_url(self.database)
        try:
            url = regular.read(self.server, MOST_OF_URL).decode().strip()
        except (OSError, ValueError) as error:
            why = str(error)
        else:
            if url:
                return url
            why = "it is empty"
        raise WorkspaceError(
            f"'{self.server}' does not say in which database the studies are: {why}; write the URL of the database "
            f"into it, or remove it if they are in '{self.database}'"
        )

    def on(self, url: str | None) -> Workspace:
        """Return itself, with its studies in the database at `url` from now on; None leaves them where they are.

        Raises
        ------
        WorkspaceError
            If it has studies in another database, or there is none at `url`.
        """
        if url is None or (self.has_studies and url == self.url):
            return self
        if self.has_studies:
            raise WorkspaceError(
                f"the studies of workspace '{self.root}' are in another database, {without_passwords(self.url)}"
            )
        from explorer.workspace.database.connection import connect

        connect(url).dispose()
        self.make()
        self.server.touch(mode=0o600)  # a URL may have a password
        self.server.write_text(url, encoding="utf-8")
        return self

    def make(self) -> None:
        """Make the folder unless it is there.

        Raises
        ------
        WorkspaceError
            If it cannot be made, or nothing can be written into it.
        """
        with self._usable():
            self.root.mkdir(parents=True, exist_ok=True)
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise WorkspaceError(f"workspace '{self.root}' is read-only: what it has can be read, and nothing be added")

    @contextlib.contextmanager
    def _usable(self) -> Iterator[None]:
        """Make it one sentence that the folder is none, or its name none for SQLAlchemy, TVM or the file system."""
        try:
            str(self.root.absolute()).encode()
            yield
        except UnicodeEncodeError:
            raise WorkspaceError(f"workspace {str(self.root)!r}: its path is not UTF-8, which TVM needs") from None
        except (FileExistsError, NotADirectoryError):
            raise WorkspaceError(f"workspace '{self.root}' is no folder, or lies in what is none") from None
        except OSError as error:
            raise WorkspaceError(f"workspace '{self.root}' cannot be used: {error.strerror}") from None

    @property
    def has_studies(self) -> bool:
        """Whether there is a database of studies, or a file that says where it is."""
        return self.database.exists() or self.server.exists()

    def figure(self, study: str) -> Path:
        """Return where the figure of a study's fronts lies."""
        return self.root / f"{names.of_file(study)}.html"

    def must_exist(self) -> Workspace:
        """Return itself.

        Raises
        ------
        WorkspaceError
            If there is no study in the folder, or it cannot be read.
        """
        with self._usable():
            if self.root.exists() and not self.root.is_dir():
                raise NotADirectoryError
            found = self.has_studies
        if not found:
            place = shlex.quote(str(self.root))
            raise WorkspaceError(
                f"no study in workspace '{self.root}'; start one with 'dlas run SPACE.toml --workspace {place}'"
            )
        return self
