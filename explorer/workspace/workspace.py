"""Folder → the place of everything that a study leaves behind in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from explorer.core import regular
from explorer.core.errors import WorkspaceError

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
            return f"sqlite:///{self.database}"
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
        from explorer.workspace.database import connect

        connect(url).dispose()
        self.root.mkdir(parents=True, exist_ok=True)
        self.server.touch(mode=0o600)  # a URL may have a password
        self.server.write_text(url)
        return self

    @property
    def has_studies(self) -> bool:
        """Whether there is a database of studies, or a file that says where it is."""
        return self.database.exists() or self.server.exists()

    def figure(self, study: str) -> Path:
        """Return where the figure of a study's fronts lies."""
        return self.root / f"{study}.html"

    def must_exist(self) -> Workspace:
        """Return itself.

        Raises
        ------
        WorkspaceError
            If there is no study in the folder.
        """
        if not self.has_studies:
            raise WorkspaceError(
                f"no study in workspace '{self.root}'; start one with 'dlas run SPACE.toml --workspace {self.root}'"
            )
        return self


def without_passwords(text: str) -> str:
    """Return a text without the passwords of the URLs in it."""
    return re.sub(r"(?<=:)[^:@/\s]+(?=@)", "***", text)
