"""Environment and driver → the NVIDIA GPUs that its processes see, by the names that ``CUDA_VISIBLE_DEVICES`` takes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from itertools import takewhile

VARIABLE = "CUDA_VISIBLE_DEVICES"
LISTED = re.compile(r"^GPU \d+: .*\(UUID: (GPU-[0-9a-f-]+)\)$", re.MULTILINE)  # a line of ``nvidia-smi -L``
LIST_SECONDS = 30


def visible() -> tuple[str, ...]:
    """Return the GPUs that the environment names or, where it names none, those that the driver lists."""
    if (named := os.environ.get(VARIABLE)) is not None:
        entries = (entry.strip() for entry in named.split(","))
        return tuple(takewhile(lambda entry: entry not in ("", "-1"), entries))  # CUDA ignores all entries behind these
    program = shutil.which("nvidia-smi")
    return listed(program) if program else ()


def listed(program: str) -> tuple[str, ...]:
    """Return the identifiers of the GPUs that nvidia-smi lists; none if no driver answers it."""
    try:
        found = subprocess.run([program, "-L"], capture_output=True, text=True, check=True, timeout=LIST_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(LISTED.findall(found.stdout))
