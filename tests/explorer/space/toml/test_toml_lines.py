"""The lines of keys and items in TOML texts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from explorer.space.toml.toml_lines import KeyPath, key_lines

TEXT = '''\
# a = "comment"
name = "x" # [no.table]
text = """
[not.a.table]
key = 1
"""
"quoted key" = 'a # b'

[axes]
ratio = [0.25, # first
  0.5, [
    { low = 0.1, high = 2 }],
]
a.b = { c = [1,
  2], "d" = {} }
[[constraints]]
when = { model = ["x"] }
[[constraints]]
forbid = {}
[constraints.more]
z = 1979-05-27T07:32:00Z
'''


def paths(value: Any, at: KeyPath = ()) -> Iterator[KeyPath]:
    if at:
        yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths(item, (*at, key))


def test_every_key_and_item_has_its_line() -> None:
    lines = key_lines(TEXT)
    assert lines["name",] == 2
    assert lines["text",] == 3
    assert lines["quoted key",] == 7
    assert lines["axes",] == 9
    assert [lines["axes", "ratio", index] for index in range(3)] == [10, 11, 11]
    assert lines["axes", "ratio", 2, 0, "high"] == 12
    assert (lines["axes", "a", "b", "c", 1], lines["axes", "a", "b", "d"]) == (15, 15)
    assert (lines["constraints", 0], lines["constraints", 1]) == (16, 18)
    assert lines["constraints", 0, "when", "model", 0] == 17


WORDS = st.text("ab-_", min_size=1, max_size=3)
STRINGS = st.sampled_from(['"x"', "'#'", '"a\\"]"', '"""m\n]"""', "'''n\n#'''", "1.5", "true", "07:32:00"])


def values(depth: int) -> st.SearchStrategy[str]:
    if not depth:
        return STRINGS
    inner = values(depth - 1)
    lists = st.lists(inner, max_size=3).map(lambda items: "[\n" + " ,# c\n".join(items) + "\n]")
    tables = st.dictionaries(WORDS, inner, max_size=3).map(
        lambda table: "{" + ", ".join(f"{key} = {value}" for key, value in table.items()) + "}"
    )
    return STRINGS | lists | tables


@given(st.dictionaries(WORDS, values(2)), st.dictionaries(st.text("xyz", min_size=1), values(1)))
def test_the_scanner_finds_the_keys_that_tomllib_finds(top: dict[str, str], table: dict[str, str]) -> None:
    lines = [f"{key} = {value}" for key, value in top.items()]
    lines += ["[ xxxx ]", *(f"{key} = {value} # end" for key, value in table.items() if key != "xxxx")]
    text = "\n".join(lines)
    found = key_lines(text)
    assert set(found) == set(paths(tomllib.loads(text)))
    for (*_, key), line in found.items():
        assert isinstance(key, int) or key in text.split("\n")[line - 1]
