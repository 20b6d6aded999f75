"""A line of a log of tuning ↔ what it says, with a checksum; see `explorer.line.tuning.database` for what there is."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

CHECKSUM = "crc"


def written(line: Mapping[str, Any]) -> bytes:
    """Return the line as it stands in a log, its end included."""
    return _text({**line, CHECKSUM: zlib.crc32(_text(line))}) + b"\n"


def parsed(text: bytes) -> dict[str, Any] | None:
    """Return what the line `text` of a log says; None if it is damaged."""
    try:
        line = json.loads(text)
        if not isinstance(line, dict):
            return None
        checksum = line.pop(CHECKSUM, None)
        whole = checksum is None or checksum == zlib.crc32(_text(line))
        return line if whole and _is_sound(line) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _text(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode()


def _is_sound(line: Mapping[str, Any]) -> bool:
    """Tell whether a line has the fields of one of its kinds, of the right types."""
    if "lost" in line:
        return isinstance(line["lost"], list)
    if not _is_time(line["seconds"]):
        return False
    if "final" in line:
        return all(isinstance(row, list) and row and _are_sessions(row[1:]) for row in line["final"])
    if failure := line.get("failure"):
        return "decision" in line and isinstance(failure["kind"], str) and isinstance(failure["message"], str)
    return "decision" in line and _are_times(line.get("samples_ms", []))


def _are_sessions(rows: object) -> bool:
    return isinstance(rows, list) and all(map(_are_times, rows))


def _are_times(values: object) -> bool:
    return isinstance(values, list) and all(map(_is_time, values))


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0
