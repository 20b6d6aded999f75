"""Fixtures that several test modules of the explorer share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import sqlalchemy as sa

from explorer.core.artifact import Artifact
from tests import studies
from tests.conftest import Once

BRANCHING: Mapping[str, Any] = {"model": "tests.custom_plugins:branching", "width": 0.5, "batch_size": 16}


@pytest.fixture(scope="session")
def trained_small(once: Once, digits: Artifact) -> Artifact:
    """The small network for tests in which the model does not matter, trained on the digits."""
    from tests import torch_stages  # most tests do without torch, which takes seconds to import

    return once.made(
        "trained small",
        lambda folder: torch_stages.train(folder, digits, studies.SMALL, 1.0, epochs=4, batch_size=32),
    )


@pytest.fixture(scope="session")
def stripes(once: Once) -> Artifact:
    """Stripes of two directions, as the data stage leaves them."""
    from tests import torch_stages

    return once.made("stripes", lambda folder: torch_stages.data(folder, "tests.custom_plugins:stripes"))


@pytest.fixture(scope="session")
def branching(once: Once, stripes: Artifact) -> Artifact:
    """A network that fx cannot trace, trained on the stripes as `BRANCHING` says."""
    from tests import torch_stages

    return once.made("branching", lambda folder: torch_stages.train(folder, stripes, **BRANCHING))


@pytest.fixture
def connections() -> Iterator[list[object]]:
    """Every connection to a database that any library of this process opens meanwhile."""
    opened: list[object] = []

    def connect(connection: object, _record: object) -> None:
        opened.append(connection)

    sa.event.listen(sa.Pool, "connect", connect)
    yield opened
    sa.event.remove(sa.Pool, "connect", connect)
