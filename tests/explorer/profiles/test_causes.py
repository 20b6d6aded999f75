"""Each cause by the rule that finds it, where times are made up; `test_measured_causes` has kernels that really run."""

from __future__ import annotations

from typing import Any

import pytest

from explorer.profiles import causes
from explorer.profiles.causes import CAUSES, RULES, break_even, findings
from explorer.profiles.profile import of
from explorer.profiles.versus import versus
from tests.explorer.profiles.drawn import GFLOP_S, MACHINE, conversion, layer, profile, written

BASE: dict[str, Any] = {"us": 200.0, "macs": 10**7, "weights": 36864}
CSR: dict[str, Any] = {"ran": "gemm/csr", "weights": 36864, "stored_bytes": 8 * 3686}


def found(own: dict[str, Any], base: dict[str, Any] = BASE, machine: dict[str, Any] = MACHINE) -> causes.Finding:
    """Return the finding of the one layer of a network that differs from the base in `own`."""
    held = versus(profile(layer("a", **{**base, **own}), machine=machine), profile(layer("a", **base), machine=machine))
    (finding,) = (each for each in findings(held) if each.layer)
    return finding


@pytest.mark.parametrize(
    ("own", "cause", "evidence"),
    [
        (
            {"nonzeros": 3686, "ran": "direct/dense", "asked": "winograd/csr", "reason": "no csr"},
            causes.FELL_BACK,
            "winograd/csr was asked and direct/dense ran: no csr",
        ),
        ({"nonzeros": 3686}, causes.ZEROS, "90% of its weights are zero, and direct/dense multiplies them all"),
        (
            {**CSR, "nonzeros": 18432, "us": 250.0},
            causes.CSR,
            "50% of its weights are left and take 1.25 of the dense layer's time; csr pays below 40%",
        ),
        ({"dtype": "float16", "arithmetic": "float32 (no)"}, causes.NO_HALF, "its arithmetic is float32 (no)"),
        ({"dtype": "bfloat16", "arithmetic": "float32 (no)"}, causes.NO_HALF, "its arithmetic is float32 (no)"),
        (
            {"weight": (49, 49, 3, 3), "macs": int(10**7 * (49 / 64) ** 2), "us": 155.0},
            causes.LANES,
            "49 output channels are computed in vectors of 16; 64 would take the same 155.0 µs",
        ),
        (
            {"macs": 10**5, "weights": 250_000, "us": 20.0},
            causes.MEMORY,
            "its 1.00 MB, 6.78 of before, take at least 10.0 of its 20.0 µs at 100 GB/s",
        ),
        (
            {"macs": 1000, "weights": 10, "us": 2.0},
            causes.FIXED,
            "its threads take 1.0 of its 2.0 µs to meet",
        ),
        ({"macs": 5 * 10**6}, causes.KERNEL, "it reaches 25% of what the device can do, and 50% before"),
    ],
)  # fmt: skip
def test_each_cause_has_its_evidence(own: dict[str, Any], cause: str, evidence: str) -> None:
    finding = found(own)
    assert (finding.cause, finding.evidence) == (cause, evidence)


def test_int8_without_an_instruction_of_its_own() -> None:
    own = {"dtype": "int8", "arithmetic": "int8"}
    assert found(own).cause == causes.KERNEL
    finding = found({**own, "arithmetic": "int16"}, machine={**MACHINE, "dot": "vpmaddwd", "dot_values": 2})
    assert finding.cause == causes.NO_DOT
    assert finding.evidence == ("vpmaddwd multiplies its 8-bit integers as int16, at 400 GFLOP/s where float32 has 200")
    finding = found({**own, "arithmetic": "int32"}, machine={**MACHINE, "dot": "", "dot_values": 1})
    assert finding.evidence.startswith("the device multiplies its 8-bit integers as int32, at 200 GFLOP/s")


def test_a_layer_that_is_as_fast_as_expected_has_no_cause() -> None:
    held = versus(profile(layer("a", 100.0, nonzeros=50, weights=100, ran="gemm/csr")), profile(layer("a", 200.0)))
    assert not [each for each in findings(held) if each.layer]


def test_an_algorithm_that_ran_in_neither_network_is_no_cause() -> None:
    own: dict[str, Any] = {
        "asked": "winograd/dense",
        "reason": "winograd is for stride 1 and dilation 1",
        "nonzeros": 3686,
    }
    assert found(own).cause == causes.ZEROS
    held = versus(profile(layer("a", **BASE, **own)), profile(layer("a", **BASE, ran="winograd/dense")))
    assert findings(held)[0].cause == causes.FELL_BACK


def test_a_layer_that_is_not_narrowed_with_its_network() -> None:
    before = profile(layer("a", 100.0), layer("b", 100.0))
    after = profile(layer("a", 25.0, dtype="int8", arithmetic="int8"), layer("b", 100.0, reason="two scales"))
    finding, *_ = findings(versus(after, before))
    assert (finding.layer, finding.cause) == ("b", causes.FELL_BACK)
    assert finding.evidence == "it runs in float32, where the network has narrower layers: two scales"


def test_work_that_fell_where_the_time_is_not() -> None:
    before = profile(layer("small", 10.0, macs=9 * 10**6), layer("large", 990.0, macs=10**6))
    after = profile(layer("small", 5.0, macs=45 * 10**5), layer("large", 990.0, macs=10**6))
    first, *_ = findings(versus(after, before))
    assert first.cause == causes.ELSEWHERE
    assert first.evidence == "1 layer, 99% of the time before, lost less of the work than the network as a whole"


def test_time_without_multiplications_does_not_shrink() -> None:
    before = profile(layer("a", 100.0), conversion(300.0))
    after = profile(layer("a", 10.0, nonzeros=1000, ran="gemm/csr"), conversion(300.0), conversion(50.0, "unpack"))
    first, *_ = findings(versus(after, before))
    assert first.cause == causes.FIXED
    assert first.evidence == "what multiplies nothing takes 352.0 µs and took 302.0 µs"
    assert first.us == pytest.approx(352 - 0.1 * 302)


def test_what_the_device_can_do_at_most_may_fall_less_than_the_work() -> None:
    own = {"dtype": "int8", "arithmetic": "int8", "us": 100.0}
    finding = found(own, machine={**MACHINE, "dot_values": 2})
    assert finding.cause == causes.BOUNDS
    needs = "the device needs at least 50.0 of its 100.0 µs, and needed 100.0 of 200.0 µs before"
    assert finding.evidence == needs
    assert found({**own, "us": 101.0}, machine={**MACHINE, "dot_values": 2}).cause == causes.KERNEL


def test_fewer_threads_are_named() -> None:
    on_one = written(layer("a", **{**BASE, "macs": 5 * 10**6}))
    on_one["threads"] = 1
    for session in on_one["sessions"]:
        session["gflop_s"], session["wake_us"] = GFLOP_S / 2, None
    first, *_ = findings(versus(of(on_one, "local"), profile(layer("a", **BASE))))
    assert first.cause == causes.BOUNDS
    needs = "the device needs at least 100.0 of its 200.0 µs, and needed 100.0 of 200.0 µs before"
    assert first.evidence == f"on fewer threads, 1 in place of 2, {needs}"


def test_csr_pays_below_the_share_at_which_it_takes_as_long() -> None:
    held = versus(profile(layer("a", 50.0, **CSR, nonzeros=3686)), profile(layer("a", **BASE)))
    assert break_even(held.pairs[0]) == pytest.approx(0.4, rel=1e-3)


def test_the_list_is_closed() -> None:
    assert {cause for cause, _ in RULES} | {causes.ELSEWHERE, causes.KERNEL} == set(CAUSES)
