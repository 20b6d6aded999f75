"""Text is printed as it is: it is no markup, no picture and no order to the terminal."""

from __future__ import annotations

import io

from hypothesis import example, given
from hypothesis import strategies as st
from rich.text import Text

from explorer.results import readable
from explorer.results.console import Plain

TEXTS = st.text(st.sampled_from("[]/\\:_ ab*`#{}'\"") | st.characters(codec="utf-8", exclude_categories=["C", "Z"]))


@given(text=TEXTS)
@example(text="[/x]")
@example(text="[bold]a[/bold]")
@example(text=":smile:")
@example(text="\\[a]")
def test_a_name_is_printed_letter_by_letter(text: str) -> None:
    stream = io.StringIO()
    console = Plain(stream, 4_000)
    table = readable.table(f"head {text}")
    table.add_row(f"cell {text} end")
    for part in (f"line {text}", table, readable.headed(text, " bold"), readable.noted(text)):
        console.print(part, soft_wrap=isinstance(part, str | Text))
    lines = [line.rstrip() for line in stream.getvalue().split("\n")]
    printed = [f"line {text}", f"head {text}", f"cell {text} end", f"{text} bold", f"note: {text}", ""]
    assert lines == [line.rstrip() for line in printed]


def test_no_text_steers_the_terminal() -> None:
    stream = io.StringIO()
    console = Plain(stream, 200)
    table = readable.table("file")
    table.add_row("a\x1b[2J\x9b31m.png")
    for part in ("\x1b]0;title\x07", table, Text("\x1b[31mred")):
        console.print(part)
    assert "\x1b" not in stream.getvalue()
    assert "\x9b" not in stream.getvalue()
    assert "a\\x1b[2J\\x9b31m.png" in stream.getvalue()
