"""The flame of a network: modules cover their layers, and every layer has the colour of what bounds it."""

from __future__ import annotations

import pytest

from explorer.profiles.rooflines import KERNEL
from explorer.results.figures.profile import COLOURS, profile, segments
from tests.explorer.profiles import drawn

ROWS = (
    drawn.layer("stem.weight", 10.0),
    drawn.layer("layer1.0.conv1.weight", 30.0),
    drawn.layer("layer1.0.conv2.weight", 20.0),
    drawn.conversion(5.0),
    drawn.layer("layer1.1.conv1.weight", 40.0),
)


def test_modules_cover_the_layers_that_run_one_after_the_other() -> None:
    found = [(each.depth, each.name, each.start_us, round(each.us, 6)) for each in segments(drawn.profile(*ROWS).rows)]
    assert found == [
        (0, "network", 0.0, 105.0),
        (1, "stem", 0.0, 10.0),
        (1, "layer1", 10.0, 50.0),
        (2, "layer1.0", 10.0, 50.0),
        (3, "conv1", 10.0, 30.0),
        (3, "conv2", 40.0, 20.0),
        (1, "pack", 60.0, 5.0),
        (1, "layer1", 65.0, 40.0),
        (2, "layer1.1", 65.0, 40.0),
        (3, "conv1", 65.0, 40.0),
    ]


def test_every_layer_is_drawn_in_the_colour_of_what_bounds_it() -> None:
    made = drawn.profile(*ROWS)
    figure = profile(made, "trial 1 <b>")
    bars = {trace.marker.color: list(trace.x) for trace in figure.data}
    assert sum(len(bars[colour]) for colour in COLOURS.values()) == len(ROWS)
    slow = [row.us.value for row in made.rows if row.bounds.by(row.us.value) == KERNEL]
    assert bars[COLOURS[KERNEL]] == pytest.approx(slow)
    assert "trial 1 &lt;b&gt;" in figure.layout.title.text
