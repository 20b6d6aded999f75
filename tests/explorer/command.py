"""The command line, called in this process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from explorer import cli


def dlas(*arguments: object) -> int:
    with pytest.raises(SystemExit) as exit_:
        cli.main([str(argument) for argument in arguments])
    code = exit_.value.code
    assert code is None or isinstance(code, int)
    return code or 0


def document(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> Any:
    """Return the whole JSON document that a command prints with ``--json``."""
    capsys.readouterr()
    assert dlas(*arguments, "--json") == code
    return json.loads(capsys.readouterr().out)


def answer(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> Any:
    """Return the result in the JSON document that a command prints."""
    found = document(capsys, *arguments, code=code)
    assert (found["schema"], found["command"]) == (1, arguments[0])
    return found["result"]
