"""Trials that cannot be profiled are refused before anything is compiled."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.core.errors import ExplorerError
from explorer.devices import devices
from explorer.profiles import taking


@pytest.mark.parametrize("state", ["failed", "skipped"])
def test_one_without_a_network(state: str) -> None:
    with pytest.raises(ExplorerError, match=f"trial 3 is {state} and has no network to profile"):
        taking.refuse({"number": 3, "state": state})
    taking.refuse({"number": 3, "state": "complete"})


def test_one_on_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "d.toml").write_text('[mali]\ntarget = { kind = "opencl", device = "mali" }\n')
    found = devices(tmp_path / "d.toml")
    taking.refuse_gpus(found, ["local"])
    with pytest.raises(ExplorerError, match=r"device 'mali' is a GPU, .*; layers are timed on processors"):
        taking.refuse_gpus(found, ["local", "mali"])
