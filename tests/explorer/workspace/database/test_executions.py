"""Executions: each is counted, those that failed too."""

from __future__ import annotations

from explorer.core.errors import Failure
from explorer.workspace.database.records import Records


def test_executions_are_counted(records: Records) -> None:
    records.executions.add("train", "key", 1.0)
    records.executions.add("train", "key", 1.0, Failure("train", "crash", "gone"))
    frame = records.executions.frame()
    assert frame["stage"].to_list() == ["train", "train"]
    assert frame["failure"].isna().to_list() == [True, False]
    assert records.executions.succeeded() == [("train", "key", 1.0)]
