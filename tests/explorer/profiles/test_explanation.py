"""The answer in a sentence, and what to change: a trial on record that is the same otherwise, or what to add."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from explorer.profiles import causes
from explorer.profiles.explanation import Advice, Explanation, advised, explanation
from explorer.profiles.profile import of
from tests.explorer.frames import complete, frame_of
from tests.explorer.profiles.drawn import layer, profile, written

BASE: dict[str, Any] = {"us": 200.0, "macs": 10**7, "weights": 36864}
PRUNED: dict[str, Any] = {"compression": "weight_pruning", "ratio": 0.9}


def explained(own: dict[str, Any], layers: int = 2) -> Explanation:
    """Return why trial 1, whose layers differ from those of trial 0 in `own`, takes as long as it does."""
    before, after = ([layer(str(i), **{**BASE, **more}) for i in range(layers)] for more in ({}, own))
    return explanation(profile(*after), profile(*before), 1, 0)


def test_the_sentence_names_the_largest_cause_and_its_part() -> None:
    found = explained({"nonzeros": 3686})
    assert found.sentence.startswith("trial 1 takes 1.00 (")
    assert ") of the time of trial 0, not the 0.10 expected from its work: zeros are stored dense in 2 layers, " in (
        found.sentence
    )
    assert found.sentence.endswith("which explains 0.360 of the 0.362 ms in excess")
    assert [(share.cause, share.layers) for share in found.shares] == [(causes.ZEROS, 2), (causes.FIXED, 0)]


def test_a_network_that_is_as_fast_as_expected_has_no_cause_and_no_advice() -> None:
    found = explained({"nonzeros": 3686, "us": 15.0, "ran": "gemm/csr"})
    assert found.sentence.endswith("; expected from its work: 0.10")
    assert advised(found, frame_of(complete(1, 0.9, 1.0, **PRUNED, format="csr")), "x.toml") is None


def test_disturbed_sessions_are_said_first() -> None:
    made = written(layer("a", **BASE))
    for session in made["sessions"]:
        session["disturbed"] = "other processes took 99% of a core"
    found = explanation(of(made, "local"), profile(layer("a", **BASE)), 1, 0)
    assert found.sentence.endswith(", but no session was quiet: other processes took 99% of a core")


@pytest.fixture
def frame() -> pd.DataFrame:
    return frame_of(
        complete(0, 0.9, 2.0),
        complete(1, 0.9, 2.0, **PRUNED),
        complete(2, 0.9, 0.5, **PRUNED, format="csr"),
        complete(3, 0.9, 1.5, compression="weight_pruning", ratio=0.5, format="csr"),
    )


def test_a_neighbour_on_record_is_named_with_its_latency(frame: pd.DataFrame) -> None:
    advice = advised(explained({"nonzeros": 3686}), frame, "space.toml")
    assert advice == Advice("trial 2, the same with format csr, takes 0.500 ms", "dlas profile 2 --vs 1")


@pytest.mark.parametrize(
    ("own", "stack", "text", "command"),
    [
        (
            {"nonzeros": 3686},
            PRUNED,
            'the same with format csr is not on record; add format = "csr" to the axes of the space',
            "dlas run 'my space.toml'",
        ),
        (
            {"dtype": "float16", "arithmetic": "float32 (no)"},
            {"compression": "float16"},
            'the same with compression int8 is not on record; add compression = "int8" to the axes of the space',
            "dlas run 'my space.toml'",
        ),
        (
            {"weight": (49, 49, 3, 3), "macs": int(10**7 * (49 / 64) ** 2), "us": 155.0},
            {"compression": "channel_pruning", "ratio": 0.25, "channel_multiple": 1},
            "the same with channel_multiple vector is not on record; add channel_multiple = "
            '"vector" to the axes of the space',
            "dlas run 'my space.toml'",
        ),
        (
            {"macs": 1000, "weights": 10, "us": 2.0},
            {**PRUNED, "threads": 2},
            "the same with threads 1 is not on record; add threads = 1 to the axes of the space",
            "dlas run 'my space.toml'",
        ),
    ],
)  # fmt: skip
def test_else_what_to_add_to_the_space_is_said(
    own: dict[str, Any], stack: dict[str, Any], text: str, command: str
) -> None:
    found = explained(own)
    alone = frame_of(complete(0, 0.9, 2.0), complete(1, 0.9, 2.0, **stack))
    assert advised(found, alone, "my space.toml") == Advice(text, command)


def test_csr_is_told_from_which_ratio_it_pays(frame: pd.DataFrame) -> None:
    sparse: dict[str, Any] = {
        "ran": "gemm/csr",
        "weights": 36864,
        "stored_bytes": 8 * 18432,
        "nonzeros": 18432,
        "us": 250.0,
    }
    before = profile(layer("a", **BASE), layer("b", **BASE))
    found = explanation(profile(*(layer(name, **sparse) for name in "ab")), before, 3, 0)
    advice = advised(found, frame, "x.toml")
    assert advice is not None
    assert advice.text == "csr pays from a ratio of about 0.60; trial 2, with 0.9, takes 0.500 ms"
    assert advice.command == "dlas profile 2 --vs 3"
    few = advised(found, frame[frame["number"] != 2], "x.toml")
    assert few is not None
    assert few.text == "csr pays from a ratio of about 0.60, and dense is faster at 0.5"
