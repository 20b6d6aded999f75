"""Random choices: every one as likely, whatever was told before, and decided by seed and number alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from optuna.trial import TrialState

from tests.explorer.simulated import ask, search, study_of
from tests.explorer.spaces import SMALL, make


def test_choices_are_equally_likely(tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, sampler="random", trials=300)
    proposed = search(space, study_of(space), 300)
    for name, choices in (("model", 2), ("algorithm", 2), ("threads", 2), ("compression", 3)):
        counts = Counter(parameters[name] for parameters in proposed)
        assert len(counts) == choices
        assert all(abs(count - 300 / choices) < 4 * (300 / choices) ** 0.5 for count in counts.values()), counts


def test_what_was_told_changes_no_proposal(tmp_path: Path) -> None:
    space = make(tmp_path, SMALL, sampler="random", trials=20)
    study = study_of(space)
    pruned = []
    for _ in range(12):
        trial, _ = ask(space, study)
        pruned.append(trial.params)
        study.tell(trial, state=TrialState.PRUNED)
    assert pruned == search(space, study_of(space), 12)
