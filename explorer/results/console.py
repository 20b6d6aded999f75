"""Text of any origin → a terminal, file or pipe, on which it means nothing but itself."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from explorer.core.names import visible


class Plain(Console):
    """A console to which text is text: brackets are no markup, ``:smile:`` is no picture, no byte steers the terminal.

    So names of the user's, which may have any characters, need no escapes where they are put together with other
    words; what shall be bold or coloured is a `rich.text.Text` with a style.

    Parameters
    ----------
    stream
        To write to; standard output unless given.
    width
        In columns; that of the terminal unless given.
    """

    def __init__(self, stream: TextIO | None = None, width: int | None = None) -> None:
        super().__init__(file=stream or sys.stdout, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as rich lays it out: in digits already what takes more room then."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of `renderable` with control characters in digits, except those of rich's own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))
