"""Packages of Debian and PyPI → a TVM RPC server on emulated 64-bit Arm, which a tracker knows as it does a board.

``python -m tests.emulated_arm`` serves until Ctrl-C and prints the entry for a devices file; `server` does the same
within a program. Both need the network once, then a folder that they cache.
"""

from __future__ import annotations

from tests.emulated_arm.packages import Missing, System, installed
from tests.emulated_arm.server import CPU, entry, server

__all__ = ["CPU", "Missing", "System", "entry", "installed", "server"]
