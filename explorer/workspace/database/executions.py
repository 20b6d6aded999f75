"""Executions of stages → a table of the studies' database."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from explorer.core.errors import Failure
from explorer.workspace.database import lasting
from explorer.workspace.database.schema import ExecutionRow
from explorer.workspace.database.soundness import is_finite

if TYPE_CHECKING:
    import pandas as pd


class Executions:
    """The executions of stages in one database; what was reused has none."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, stage: str, key: str, seconds: float, failure: Failure | None = None) -> None:
        """Count one execution of a stage."""
        row: dict[str, Any] = {
            "stage": stage,
            "key": key,
            "seconds": seconds,
            "failure": vars(failure) if failure else None,
            "finished": datetime.datetime.now(datetime.UTC),
        }
        lasting.entered(self._engine, ExecutionRow, row)

    def succeeded(self) -> list[tuple[str, str, float]]:
        """Return stage, key and seconds of every execution that did not fail."""
        columns = ExecutionRow.stage, ExecutionRow.key, ExecutionRow.seconds
        rows = lasting.rows(self._engine, sa.select(*columns).where(ExecutionRow.failure.is_(None)))
        return [(stage, key, seconds) for stage, key, seconds in rows if isinstance(stage, str) and is_finite(seconds)]

    def frame(self) -> pd.DataFrame:
        """Return one row per execution: stage, key, seconds, failure, finished."""
        import pandas as pd

        columns = [column for column in ExecutionRow.__table__.c if column.name != "entry"]
        rows = [row._mapping for row in lasting.rows(self._engine, sa.select(*columns))]
        sound = [dict(row) for row in rows if isinstance(row["stage"], str) and is_finite(row["seconds"])]
        return pd.DataFrame(sound, columns=[column.name for column in columns])
