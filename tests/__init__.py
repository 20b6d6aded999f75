"""The tests mirror the packages; what several of them use lies beside this file and in `conftest`."""

from pathlib import Path

ROOT = Path(__file__).parent.parent  # of the checkout
