"""A workspace → the names of its studies, and whether one has something new on record, at the cost of one query."""

from __future__ import annotations

from pathlib import Path

from explorer.workspace.database import history
from explorer.workspace.database.history import Version
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace


class Watch:
    """The studies of one workspace, to look at again and again.

    Parameters
    ----------
    root
        The workspace's folder.

    Raises
    ------
    WorkspaceError
        If there is no study in the folder, or its database does not answer.
    """

    def __init__(self, root: Path) -> None:
        self._records = Records(Workspace(root).must_exist().url)

    def names(self) -> list[str]:
        """Return the names of the studies with a finished trial, the one that finished a trial last first."""
        return self._records.studies()

    def version(self, study: str) -> Version:
        """Return what is another whenever `study` or its workspace has something new on record."""
        return history.version(self._records.engine, study)

    def close(self) -> None:
        """Close every connection to the database."""
        self._records.close()
