from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa


@pytest.fixture
def connections() -> Iterator[list[object]]:
    """Every connection to a database that any library of this process opens meanwhile."""
    opened: list[object] = []

    def connect(connection: object, _record: object) -> None:
        opened.append(connection)

    sa.event.listen(sa.Pool, "connect", connect)
    yield opened
    sa.event.remove(sa.Pool, "connect", connect)
