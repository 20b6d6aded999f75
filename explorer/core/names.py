"""A name of the user's → why it can be none of a study, a file's name that stands for it, how it is shown."""

from __future__ import annotations

import urllib.parse

MOST_BYTES = 200  # a file's name has 255 at most, and its ending takes some
RULE = f"a name has at most {MOST_BYTES} bytes of characters that can be printed, none of them a /, and is not . or .."
SHOWN = 40  # characters of a refused name
# Characters that move a terminal's cursor, colour it or do other things there → their escapes in Python.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def refused(name: str) -> str:
    """Return in one sentence why `name` is none for a study or a device, whose files have it; "" if it is one."""
    if is_name(name):
        return ""
    return f"{shown(name)} is no name: {RULE}"


def shown(name: str) -> str:
    """Return a name in quotes and on one line, its beginning and its size where it is a long one."""
    beginning = name if len(name) <= SHOWN else f"{name[:SHOWN]}…"
    size = f" of {len(encoded):,} bytes" if len(encoded := _encoded(name)) > MOST_BYTES else ""
    return f"{beginning!r}{size}"


def is_name(name: str) -> bool:
    """Tell whether a study or a device may have this name."""
    return bool(name.strip()) and name.isprintable() and "/" not in name and name not in (".", "..") and (
        len(_encoded(name)) <= MOST_BYTES
    )  # fmt: skip


def of_file(name: str) -> str:
    """Return a file's name for what is called `name`: that itself or, of a study on record, with escapes."""
    if is_name(name):
        return name
    escaped = urllib.parse.quote(_encoded(name), safe=" ")
    return escaped.replace(".", "%2E")[:MOST_BYTES]


def visible(text: str) -> str:
    """Return a text with its control characters, but for ends of lines and tabs, in digits."""
    return text.translate(CONTROLS)


def _encoded(name: str) -> bytes:
    return name.encode(errors="surrogatepass")
