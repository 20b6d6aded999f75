"""A Plotly figure → the same as an image file, drawn by Matplotlib: without a browser and without a network.

Plotly's own images need a browser. So that one definition of a figure serves pages and papers, the modules here draw
the part of Plotly that the explorer's figures use; what they do not know of raises `UnknownPart`.
"""

from explorer.results.figures.static.drawing import FORMATS, write
from explorer.results.figures.static.looks import UnknownPart

__all__ = ["FORMATS", "UnknownPart", "write"]
