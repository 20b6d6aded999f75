"""Key of the candidates that were measured on a device: one for all networks, tuners and budgets."""

from __future__ import annotations

from explorer.line.contracts.tune import database_key

TARGET = {"kind": "llvm", "mcpu": "znver3"}


def test_tunings_share_what_they_measure_on_one_device_with_one_number_of_threads() -> None:
    keys = {
        database_key(target, threads, device)
        for target in (TARGET, {**TARGET, "mcpu": "znver4"})
        for threads in (1, 2)
        for device in ("left", "right")
    }
    assert len(keys) == 8
    assert database_key(dict(TARGET), 1, "left") in keys
