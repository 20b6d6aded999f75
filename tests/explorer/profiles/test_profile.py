"""Rows of a profile: times of quiet samples in undisturbed sessions, the kernels' work, bounds by the peaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from explorer.core import plugins
from explorer.profiles.profile import PROFILE, VERSION, computed, load, of
from tests.explorer.profiles.drawn import GB_S, GFLOP_S, conversion, layer, profile, written


def test_a_row_has_the_layers_account_its_time_and_its_bounds() -> None:
    found = profile(conversion(1.0), layer("a", 50.0, macs=10**6, weights=36864), layer("b", 150.0), rest_us=4.0)
    pack, first, second = found.rows
    assert (pack.name, pack.operator, pack.macs, pack.gflop_s) == ("pack", "conversion", 0, None)
    assert (first.name, first.operator, first.weight) == ("a", "conv2d", (64, 64, 3, 3))
    assert first.us.value == pytest.approx(50.0)
    assert first.us.low < 50 < first.us.high
    assert first.gflop_s == pytest.approx(40.0)
    assert first.bounds.arithmetic == pytest.approx(2e6 / (1e3 * GFLOP_S))
    assert first.bounds.weights == pytest.approx(4 * 36864 / (1e3 * GB_S))
    assert first.roofline == pytest.approx(10 / 50)
    assert second.share == pytest.approx(150 / 205)
    assert found.network_ms.value == pytest.approx(0.205)
    assert found.layers_ms.value == pytest.approx(0.201)
    assert found.rest_ms == pytest.approx(0.004)


def test_disturbed_sessions_and_samples_do_not_count() -> None:
    made = written(layer("a", 50.0), sessions=3)
    first, second, third = made["sessions"]
    first |= {"calls_us": [[900.0], [40.0], [42.0]], "quiet": [1, 2]}
    second |= {"calls_us": [[500.0]] * 3, "disturbed": "another process took 99 % of a core", "gflop_s": 1e6}
    found = of(made, "local")
    assert found.rows[0].us.value == pytest.approx((41 + 50) / 2)
    assert (found.sessions, found.disturbed) == (2, "")
    assert found.machine.gflop_s == GFLOP_S
    for each in (first, third):
        each["disturbed"] = "so was this"
    found = of(made, "local")
    assert (found.sessions, found.disturbed) == (3, "so was this")


@pytest.mark.parametrize(
    ("ran", "nonzeros", "stored", "share"),
    [
        ("direct/dense", 100, 4000, 1.0),
        ("gemm/csr", 100, 4000, 0.1),
        ("winograd/dense", 1000, 16000, 0.25),
        ("winograd/dense", 1000, 7111, 4 / 9),
    ],
)
def test_the_kernels_work(ran: str, nonzeros: int, stored: int, share: float) -> None:
    assert computed(9000, ran, 1000, nonzeros, stored) == pytest.approx(9000 * share)
    assert computed(9000, ran, 0, 0, 0) == 9000, "a layer whose weights are not known"


def test_it_is_json() -> None:
    found = json.loads(json.dumps(profile(layer("a", 50.0), conversion(1.0)).as_dict(), allow_nan=False))
    assert found["rows"][0]["us"] == pytest.approx(50.0)
    assert found["rows"][0]["bound_by"] in ("arithmetic", "its kernel")
    assert found["rows"][1]["gflop_s"] is None
    assert found["network_ms"] > found["layers_ms"]


def test_a_profile_of_another_version_is_not_read(tmp_path: Path) -> None:
    assert plugins.literal("stage", "profile", "VERSION") == VERSION
    (tmp_path / PROFILE).write_text(json.dumps({**written(layer("a", 50.0)), "version": VERSION}))
    assert load(tmp_path, "local") == of(written(layer("a", 50.0)), "local")
    (tmp_path / PROFILE).write_text(json.dumps({"version": VERSION + 1}))
    assert load(tmp_path, "local") is None
