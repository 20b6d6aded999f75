"""Errors that a user can mend, and failures of trials, which are values."""

from __future__ import annotations

import pytest

from explorer.core import errors
from explorer.core.errors import DOMINATED, ExplorerError, Failure, StageFailed, did_you_mean


@pytest.mark.parametrize(
    ("value", "allowed", "said"),
    [
        ("gemn", ["direct", "gemm"], "; allowed: direct, gemm; did you mean 'gemm'?"),
        ("zzz", ["direct", "gemm"], "; allowed: direct, gemm"),
        (17, [16, 32], "; allowed: 16, 32; did you mean '16'?"),
        ("gemm", [], "; allowed: none"),
    ],
)
def test_an_unknown_name_is_answered_with_those_there_are(value: object, allowed: list[object], said: str) -> None:
    assert did_you_mean(value, allowed) == said


def test_an_error_is_one_short_line_whatever_is_in_it() -> None:
    assert str(ExplorerError("unknown 'a\nb'\r\nhere")) == "unknown 'a b' here"
    long = str(errors.SpaceError(f"x.toml:3: unknown name '{'x' * 100_000}'; allowed: gemm"))
    assert len(long) <= errors.LONGEST + len(" … ")
    assert long.startswith("x.toml:3: unknown name 'xxx")
    assert long.endswith("xxx'; allowed: gemm")


def test_of_many_names_some_are_listed_and_the_nearest_is_found() -> None:
    said = did_you_mean("name77", [f"name{index}" for index in range(200)])
    assert said.endswith("name39 and 160 more; did you mean 'name77'?")
    assert did_you_mean("x" * 100_000, ["gemm"]) == "; allowed: gemm"


def test_every_error_that_a_user_can_mend_has_one_root() -> None:
    mendable = [errors.SpaceError, errors.WorkspaceError, errors.DeviceError]
    assert all(issubclass(kind, ExplorerError) for kind in mendable)
    assert not issubclass(StageFailed, ExplorerError), "a trial that fails does not end the study"


def test_a_failure_is_a_value_that_an_exception_carries() -> None:
    failure = Failure("measure", "crash", "the device is gone", "its log")
    assert failure == Failure("measure", "crash", "the device is gone", "its log") != Failure("measure", "crash", "")
    raised = StageFailed(failure)
    assert raised.failure is failure
    assert str(raised) == "the device is gone"


def test_only_what_is_dominated_was_left_out() -> None:
    assert Failure("compress", DOMINATED, "not trained").skipped
    assert not Failure("compress", "crash", "dominated").skipped
