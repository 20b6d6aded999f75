"""What a study asked before and what its space asks now → why it cannot go on, naming what differs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from optuna.distributions import (
    BaseDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)

from explorer.core.configuration import digest
from explorer.core.errors import WorkspaceError
from explorer.space.optuna_parameters import Parameters

MOST_NAMED = 3  # differences in a sentence
DETAILED = ("axes", "settings")  # parts of a question whose differences are named one by one
Question = Mapping[str, object]


def refuse_other_question(study: str, known: Question, question: Question) -> None:
    """Refuse to go on with a study that answers another question than the present one.

    Raises
    ------
    WorkspaceError
        If the two differ; it names what was asked before and what is asked now.
    """
    if digest(known) == digest(question):
        return
    changed = sorted(key for key in {*known, *question} if not _same(known.get(key), question.get(key)))
    details = [
        text for key in DETAILED if key in changed for text in _differences(known.get(key), question.get(key), ())
    ]
    raise _other(study, " and ".join(changed), details)


def refuse_other_parameters(study: str, before: Mapping[str, BaseDistribution], now: Parameters) -> None:
    """Refuse to go on with a study whose trials have parameters of another kind: linear where they are logarithmic now.

    Samplers of Optuna take one kind for each parameter of a study.

    Raises
    ------
    WorkspaceError
        If a parameter of a trial has changed; it names the axis.
    """
    for name, (distribution, _) in now.items():
        try:
            check_distribution_compatibility(before.get(name, distribution), distribution)
        except ValueError:
            axis = name.partition("[")[0]
            raise _other(study, "axes", [_was(axis, _text(before[name]), _text(distribution))]) from None


def _other(study: str, parts: str, details: list[str]) -> WorkspaceError:
    more = f" and {len(details) - MOST_NAMED} more" if len(details) > MOST_NAMED else ""
    named = f" ({'; '.join(details[:MOST_NAMED])}{more})" if details else ""
    return WorkspaceError(
        f"the workspace's study '{study}' was made with other {parts}{named}; choose another --workspace, or give the "
        "space another name"
    )


def _differences(before: object, now: object, path: tuple[str, ...]) -> Iterator[str]:
    """Yield a text about every value that two trees of tables do not have in common."""
    if isinstance(before, dict) and isinstance(now, dict):
        one, other = cast(dict[str, object], before), cast(dict[str, object], now)
        for key in dict.fromkeys((*one, *other)):
            if not _same(one.get(key), other.get(key)):
                yield from _differences(one.get(key), other.get(key), (*path, key))
    else:
        yield _was(" ".join(path), _shown(before), _shown(now))


def _same(one: object, other: object) -> bool:
    return digest(one) == digest(other)  # lists are tuples in one of them


def _was(what: str, before: str, now: str) -> str:
    return f"{what} was {before} and is {now}"


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "empty"
    return "not given" if value is None else str(value)


def _text(distribution: BaseDistribution) -> str:
    """Return the form of an axis that a parameter came from."""
    if isinstance(distribution, IntDistribution | FloatDistribution):
        log = ", log = true" if distribution.log else ""
        return f"a range from {distribution.low:g} to {distribution.high:g}{log}"
    return "a list"
