from __future__ import annotations

import pytest

from explorer.results import readable


@pytest.mark.parametrize(
    ("size", "text"), [(12, "12 B"), (34_512, "34.5 kB"), (2_100_000, "2.1 MB"), (3_000_000_000, "3 GB")]
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert readable.size(size) == text


def test_choices_and_shares_are_readable() -> None:
    assert readable.share(0.97333) == "97.33 %"
    assert readable.share(None) == ""
    assert [readable.choice(value) for value in (0.5, 1.0, 8, "vector", None)] == ["0.5", "1", "8", "vector", "-"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "under 0.1 %"), (0.0009, "under 0.1 %"), (0.004, "0.4 %"), (0.234, "23 %"), (0.97, "97 %"),
        (0.9962, "99.6 %"), (0.9995, "over 99.9 %"), (1.0, "over 99.9 %"),
    ],
)  # fmt: skip
def test_a_probability_claims_neither_0_nor_1(value: float, text: str) -> None:
    assert readable.probability(value) == text
