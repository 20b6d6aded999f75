"""The page of operators says how each of them runs."""

from __future__ import annotations

import pytest

from tests import ROOT
from tests.dlas_ops import operator_table


@pytest.mark.slow
def test_the_page_has_the_table_as_it_is_generated() -> None:
    page = (ROOT / "docs" / "operators.md").read_text()
    _, _, tables = page.partition("### ")
    assert "### " + tables.rstrip() == "\n".join(operator_table.table())
