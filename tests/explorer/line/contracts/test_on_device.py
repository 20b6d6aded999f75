"""The address of a leased device: told to an execution, in no key, and nowhere until the engine knows it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from explorer.line.contracts.on_device import NOWHERE, Address, OnDevice
from tests.typed_stages import comparison, measurement, selection, tuning

BOARD = Address(tracker="10.0.0.1:9190", key="board")
EVERY: list[OnDevice] = [comparison().parameters, measurement().parameters, selection().parameters, tuning().parameters]


@pytest.mark.parametrize("parameters", EVERY, ids=lambda parameters: type(parameters).__module__.rpartition(".")[2])
def test_an_execution_is_told_the_address_and_its_key_is_the_same(parameters: OnDevice) -> None:
    leased = replace(parameters, address=BOARD)
    assert parameters.address == NOWHERE
    assert leased.keyed() == parameters.keyed()
    assert leased.as_json() == {**parameters.as_json(), "tracker": BOARD.tracker, "key": BOARD.key}
    assert type(leased).from_json(leased.as_json()) == leased


def test_an_address_stays_what_it_was_leased_as() -> None:
    with pytest.raises(ValidationError):
        BOARD.key = "another"
