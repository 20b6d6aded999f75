from __future__ import annotations

import pytest

from explorer.results.figures import layout
from explorer.results.figures.static import UnknownPart, looks
from explorer.results.figures.static.looks import Run


def test_every_symbol_and_dash_of_the_figures_has_a_counterpart() -> None:
    drawn = [looks.symbol(name) for name in layout.SYMBOLS]
    assert len({marker for marker, _, _ in drawn}) == len(layout.SYMBOLS)
    assert looks.symbol(str(layout.KNEE["symbol"]))[2], "an open one"
    assert looks.symbol(None) == looks.symbol("circle")
    assert looks.dash(str(layout.BUDGET["dash"])) != looks.dash(None) == "solid"
    for name, part in (("symbol", looks.symbol), ("dash", looks.dash)):
        with pytest.raises(UnknownPart, match=f"{name} nonsense"):
            part("nonsense")


def test_colours() -> None:
    assert looks.colour("rgba(120, 60, 0, 0.5)") == (120 / 255, 60 / 255, 0, 0.5)
    assert looks.colour("rgb(255,0,0)") == (1, 0, 0, 1)
    assert looks.colour("#123456") == "#123456"
    assert looks.colour(None) is None


def test_html_becomes_lines_of_runs() -> None:
    html = '<b>x &lt;y&gt;</b>: <i>z</i><br><span style="font-size:13px;color:#555">small</span> rest'
    assert looks.runs(html) == [
        [Run("x <y>", bold=True), Run(": "), Run("z", italic=True)],
        [Run("small", size=13, colour="#555"), Run(" rest")],
    ]
    assert looks.plain(html) == "x <y>: z\nsmall rest"
    assert looks.plain(None) == ""


def test_one_value_stands_for_every_point() -> None:
    assert looks.each("circle", 3) == ["circle"] * 3
    assert looks.each(None, 2, 6) == [6, 6]
    assert looks.each((1, 2), 2) == [1, 2]
