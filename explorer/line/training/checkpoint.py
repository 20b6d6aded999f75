"""State of a training ↔ a file that is whole whenever the process ends; a damaged one counts as none."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import torch

from explorer.core.files import regular

DIGEST = hashlib.sha256().digest_size
MOST = 1 << 36  # bytes of a state: weights, and as many numbers again as the optimizer keeps of them


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state`, tensors and plain values, in place of what `path` held; at any time one of them is there."""
    content = io.BytesIO()
    torch.save(state, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    regular.make_way(draft)
    regular.make_way(path)
    with draft.open("wb") as file:
        file.write(hashlib.sha256(content.getbuffer()).digest())
        file.write(content.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def load(path: Path) -> dict[str, Any]:
    """Return what was saved.

    Raises
    ------
    ValueError
        If the file is not as it was written.
    OSError
        If it cannot be read, ``FileNotFoundError`` if there is none.
    """
    try:
        content = regular.read(path, MOST)
    except MemoryError:
        raise ValueError(f"{path} does not fit into memory") from None
    if hashlib.sha256(content[DIGEST:]).digest() != content[:DIGEST]:
        raise ValueError(f"{path} does not match its digest")
    state: dict[str, Any] = torch.load(io.BytesIO(content[DIGEST:]), weights_only=True)
    return state
