"""Sentence of typer's about a wrong option or argument → the same sentence with the value that was given."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import Any

from explorer.core.errors import one_sentence


def install() -> None:
    """Make typer's sentences end in the value; about a number it says "Input should be a valid integer" alone."""
    with contextlib.suppress(ImportError):  # of versions that leave this to click, whose sentences have the value
        coercion: Any = importlib.import_module("typer._coercion")
        # Workaround: typer 0.29: what it refuses is not in its sentence; tests/workarounds
        coercion.get_error_msg = _with_value(coercion.get_error_msg)


def _with_value(said: Callable[[Any], str]) -> Callable[[Any], str]:
    def sentence(error: Any) -> str:
        text, given = said(error), error.errors()[0].get("input")
        return one_sentence(text if str(given) in text else f"{text}: {given!r}")

    return sentence
