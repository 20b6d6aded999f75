"""A descriptor and a command → the command line, which writes a line to the descriptor whenever a stage begins.

``python -m tests.faults.told 5 run space.toml`` is ``dlas run space.toml`` apart from these lines.
"""

from __future__ import annotations

import os
import sys

from explorer import cli
from explorer.results.progress.live import Progress


def main(descriptor: int, arguments: list[str]) -> None:
    """Run the command."""
    started = Progress.started

    def told(self: Progress, worker: str, stage: str) -> None:
        os.write(descriptor, f"{stage}\n".encode())
        started(self, worker, stage)

    Progress.started = told  # type: ignore[method-assign]
    sys.argv = ["dlas", *arguments]
    cli.main(arguments)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
