"""Stage ``profile``: times of every call beside the network's own, in as many quiet sessions as asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explorer.core.artifact import Artifact
from explorer.core.measurement.sessions import Readings
from explorer.line.contracts.on_device import Address
from explorer.line.contracts.profile import Parameters, Parents, Session
from explorer.line.stages import profile
from explorer.profiles.profile import load

ADDRESS = Address(tracker="10.0.0.1:9190", key="board")
PARAMETERS = Parameters(1, samples=4, sample_ms=0.2, warmup_ms=0.1, sessions=2, device="board", address=ADDRESS)


def test_it_times_every_call_beside_the_network(
    small: Artifact,
    lowered: Artifact,
    built: Artifact,
    ticking: Artifact,
    control: Artifact,
    leased: list[tuple[object, ...]],
    unlimited: list[str],
    tmp_path: Path,
) -> None:
    values = profile.run(PARAMETERS, Parents(small, lowered, built, ticking, control), tmp_path)
    written = json.loads((tmp_path / profile.PROFILE).read_text())
    sessions = written["sessions"]
    assert 2 <= len(sessions) <= 2 + profile.MORE
    assert leased[:2] == [(ADDRESS.tracker, ADDRESS.key, profile.SESSION_SECONDS), (1, "profile", ADDRESS.key)]
    assert len(leased) == 2 * len(sessions)
    for session in sessions:
        assert len(session["network_ms"]) == len(session["ticking_ms"]) == len(session["calls_us"]) >= 4
        assert all(len(calls) == len(written["calls"]) for calls in session["calls_us"])
        assert session["gflop_s"] > 0.1
        assert session["gb_s"] > 0.1
    assert 1 <= values["counted"] <= len(sessions)
    found = load(tmp_path, "board")
    assert found is not None
    assert found.network_ms.value == pytest.approx(values["network_ms"])
    assert found.layers_ms.value == pytest.approx(values["layers_ms"])
    layers = json.loads((built.path / "layers.json").read_text())
    rows = {row.name: row for row in found.rows}
    for layer in layers:
        assert (rows[layer["name"]].macs, rows[layer["name"]].ran) == (layer["macs"], layer["ran"])
    assert found.machine.lanes >= 4
    assert unlimited == []


def scripted(disturbed: list[bool], parents: Parents, out: Path) -> list[dict[str, Any]]:
    """Run the stage on sessions of which some are disturbed, and return those that it took."""

    def sessions() -> Iterator[Session]:
        for each in disturbed:
            readings = Readings(arithmetic_ms=2.0 if each else 1.0)
            yield {
                "network_ms": [1.0], "ticking_ms": [1.0], "calls_us": [[900.0]], "quiet": [0], "gflop_s": 1.0,
                "gb_s": 1.0, "wake_us": None, "readings": {}, "typical": list(readings), "disturbed": "",
                "waited_s": 0.0, "state": {"before": None, "after": None, "tvm": ""},
            }  # fmt: skip

    given = sessions()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profile, "_session", lambda parameters, parents: (next(given), ""))
        known = Readings(arithmetic_ms=1.0)
        profile.run(replace(PARAMETERS, usual=known), parents, out)
    taken: list[dict[str, Any]] = json.loads((out / profile.PROFILE).read_text())["sessions"]
    return taken


@pytest.mark.parametrize(
    ("disturbed", "taken"),
    [([False, False], 2), ([True, False, False], 3), ([True] * 5, 5), ([True, True, True, False, True], 5)],
)
def test_disturbed_sessions_are_repeated_a_few_times(
    disturbed: list[bool],
    taken: int,
    small: Artifact,
    lowered: Artifact,
    built: Artifact,
    ticking: Artifact,
    tmp_path: Path,
) -> None:
    found = scripted(disturbed, Parents(small, lowered, built, ticking), tmp_path)
    assert [bool(each["disturbed"]) for each in found] == disturbed[:taken]
