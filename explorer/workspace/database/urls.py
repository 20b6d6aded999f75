"""A database's file → its SQLAlchemy URL; a text → the same without the passwords of URLs in it."""

from __future__ import annotations

import re
from pathlib import Path


def sqlite_url(file: Path) -> str:
    """Return the SQLAlchemy URL of an SQLite file: characters that mean something in a URL, such as ``?``, escaped."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(file)).render_as_string(hide_password=False)


def without_passwords(text: str) -> str:
    """Return a text without the passwords of the URLs in it, which need not be valid ones."""
    hidden = re.sub(r"(\w://[^\s:@]*:)\S*@", r"\1***@", text)  # a password may have any character, even : / and @
    return re.sub(r"([?&]\w*pass\w*=)[^&\s]*", r"\1***", hidden, flags=re.IGNORECASE)
