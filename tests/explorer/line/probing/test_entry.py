"""Targets for devices, by what they say of themselves: they fit, and use all that there is."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.line.probing.answers import Description
from explorer.line.probing.claims import refusal
from explorer.line.probing.entry import fitting
from tests.explorer.line.probing.processors import CORTEX_A72, CORTEX_A76, ZEN3, ZEN4, described

ARM, X86 = "aarch64-linux-gnu", "x86_64-linux-gnu"


@pytest.mark.parametrize(
    ("says", "target"),
    [
        (described(CORTEX_A72), {"mtriple": ARM, "mcpu": "cortex-a72"}),
        (described(CORTEX_A76), {"mtriple": ARM, "mcpu": "cortex-a76"}),
        (
            described(CORTEX_A76.replace("0xd0b", "0xfff")),
            {"mtriple": ARM, "mcpu": "generic", "mattr": ["+dotprod", "+fullfp16", "+lse", "+rdm"]},
        ),
        (described(ZEN4, "znver4"), {"mtriple": X86, "mcpu": "znver4"}),
        (described(ZEN3, "znver4"), {"mtriple": X86, "mcpu": "x86-64-v3"}),
        (Description("aarch64"), {"mtriple": ARM, "mcpu": "generic"}),
    ],
)
def test_a_target_fits_what_a_device_says(says: Description, target: dict[str, Any]) -> None:
    found = fitting(says)
    assert found == {"kind": "llvm", **target}
    assert refusal("board", found, found, says) == ""
