"""What every stage must do; a new file in `explorer.line.stages` is tested by being there."""

from __future__ import annotations

import inspect
from typing import get_type_hints

import pytest

from explorer.core import plugins
from explorer.line import contracts
from explorer.line.stage import Parameters, Parents, Stage


@pytest.mark.parametrize("name", plugins.names("stage"))
class TestStage:
    def test_it_states_its_version_and_worker(self, name: str) -> None:
        assert isinstance(plugins.literal("stage", name, "VERSION"), int)
        assert plugins.literal("stage", name, "WORKER") in ("torch", "tvm")

    def test_its_contract_names_its_types(self, name: str) -> None:
        contract = getattr(contracts, name)
        assert issubclass(contract.Parameters, Parameters)
        assert issubclass(contract.Parents, Parents)
        assert issubclass(contract.Stage, Stage)
        assert contract.Stage.name == name

    def test_it_runs_on_the_types_of_its_contract(self, name: str) -> None:
        """Workers without torch import stages without torch, so that one process imports the annotations of either."""
        contract, source = getattr(contracts, name), plugins.load("stage", name).run
        assert list(inspect.signature(source).parameters) == ["parameters", "parents", "out"]
        hints = get_type_hints(source)
        assert hints["parameters"] is contract.Parameters
        assert hints["parents"] is contract.Parents
        assert hints["return"] is contract.Values
