"""TOML text → the line of every key and list item in it, which `tomllib` does not tell."""

from __future__ import annotations

import re
from collections.abc import Mapping

# A key's path through tables and lists, such as ``("constraints", 0, "when", "model")``.
KeyPath = tuple[str | int, ...]

_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|'  # multi-line strings first, because '""' is a string too
    r"'''.*?'''|"
    r'"(?:\\.|[^"\\])*"|'
    r"'[^']*'|"
    r"#[^\n]*|"
    r"\n|[\[\]{},=.]|"
    r"[^\s\[\]{},=.#\"']+",
    re.DOTALL,
)


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """Return the line, from 1, of every key and list item of `text`.

    Parameters
    ----------
    text
        A document that `tomllib` has accepted: nothing is checked a second time here.
    """
    return _Scanner(text).scan()


class _Scanner:
    """Walks the tokens once, keeping the path of the table it is in."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, int]] = []
        line, end = 1, 0
        for match in _TOKEN.finditer(text):
            line += text.count("\n", end, match.start())
            end = match.start()
            if not match[0].startswith("#"):
                self._tokens.append((match[0], line))
        self._position = 0
        self._lines: dict[KeyPath, int] = {}
        self._tables: dict[KeyPath, int] = {}  # the index of the last of each list of tables

    def scan(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        while self._skip_newlines():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _peek(self) -> str:
        return self._tokens[self._position][0] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        self._position += 1
        return token

    def _mark(self, path: KeyPath) -> None:
        if self._position < len(self._tokens):
            self._lines.setdefault(path, self._tokens[self._position][1])

    def _skip_newlines(self) -> bool:
        while self._peek() == "\n":
            self._next()
        return bool(self._peek())

    def _header(self) -> KeyPath:
        """Read ``[table]`` or ``[[list of tables]]``."""
        start = self._position
        self._next()
        is_list = self._peek() == "["
        if is_list:
            self._next()
        path: KeyPath = self._key()
        while self._peek() == "]":
            self._next()
        if is_list:
            self._tables[path] = index = self._tables.get(path, -1) + 1
            path = (*path, index)
        end, self._position = self._position, start
        self._mark(path)
        self._position = end
        return path

    def _key(self) -> tuple[str, ...]:
        """Read a key and its dotted parts."""
        parts = [self._next().strip("\"'")]
        while self._peek() == ".":
            self._next()
            parts.append(self._next().strip("\"'"))
        return tuple(parts)

    def _pair(self, table: KeyPath) -> None:
        start = self._position
        path = (*table, *self._key())
        end, self._position = self._position, start
        self._mark(path)
        self._position = end + 1  # the "="
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        match self._peek():
            case "[":
                self._items(path)
            case "{":
                self._next()
                while self._skip_newlines() and self._peek() != "}":
                    self._pair(path)
                    self._skip_newlines()
                    if self._peek() == ",":
                        self._next()
                self._next()
            case _:
                while self._peek() not in ("", "\n", ",", "]", "}"):
                    self._next()

    def _items(self, path: KeyPath) -> None:
        self._next()
        index = 0
        while self._skip_newlines() and self._peek() != "]":
            self._mark((*path, index))
            self._value((*path, index))
            index += 1
            self._skip_newlines()
            if self._peek() == ",":
                self._next()
        self._next()
