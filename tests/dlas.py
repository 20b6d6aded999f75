"""``python -m tests.dlas ARGUMENTS``: the command line, whose workers are forked as those of the tests are."""

from __future__ import annotations

from explorer import cli
from tests import forks

if __name__ == "__main__":
    with forks.used():
        cli.main()
