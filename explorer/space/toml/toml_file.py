"""A TOML file → its content, with errors that name the file and the line."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from explorer.core.errors import SpaceError, did_you_mean
from explorer.space.toml.toml_lines import KeyPath, key_lines

MOST_BYTES = 2_000_000
DEEPEST = 20  # tables and lists in each other
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class TomlFile:
    """A file that was read: where it lies, what it says and on which lines."""

    path: Path
    content: Mapping[str, Any]
    lines: Mapping[KeyPath, int]

    @staticmethod
    def read(path: Path) -> TomlFile:
        """Read and parse the file at `path`.

        Raises
        ------
        SpaceError
            If the file cannot be read, is no TOML, or has texts with the character 0.
        """
        try:
            text = _decoded(path)
            parsed = tomllib.loads(text)
            if _is_deeper(parsed, DEEPEST):
                raise RecursionError
            file = TomlFile(path, parsed, key_lines(text.replace("\r\n", "\n")))
        except RecursionError:
            raise SpaceError(f"{path}: tables and lists are nested more than {DEEPEST} deep") from None
        except OSError as error:
            raise SpaceError(f"{path}: cannot be read: {error.strerror}") from None
        except tomllib.TOMLDecodeError as error:
            at = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error), re.DOTALL)
            if at:
                raise SpaceError(f"{path}:{at[2]}: not valid TOML, column {at[3]}: {at[1]}") from None
            raise SpaceError(f"{path}: not valid TOML: {error}") from None
        except ValueError as error:  # of a number of thousands of digits
            raise SpaceError(f"{path}: not valid TOML: {error}") from None
        file._refuse_null()
        return file

    def _refuse_null(self) -> None:
        """Refuse a text with the character 0, which no file's name, database or terminal takes."""
        waiting: list[tuple[KeyPath, Any]] = [((), self.content)]
        while waiting:
            key, value = waiting.pop()
            if isinstance(value, str) and "\0" in value:
                raise self.error(f"{key[-1]} = {value[:40]!r} has a character 0", *key)
            inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
            waiting += [((*key, each), within) for each, within in inside]

    def error(self, message: str, *key: str | int) -> SpaceError:
        """Return `message` as an error about `key`, with the line of its nearest known parent."""
        for end in range(len(key), 0, -1):
            if line := self.lines.get(key[:end]):
                return SpaceError(f"{self.path}:{line}: {message}")
        return SpaceError(f"{self.path}: {message}")

    def validate(
        self, model: type[Model], values: Mapping[str, Any], at: KeyPath, context: Mapping[str, object] | None = None
    ) -> Model:
        """Return `values`, found at key `at` of the file, as a `model`; its validators are given the `context`.

        Raises
        ------
        SpaceError
            For the first value that `model` does not take.
        """
        try:
            return model.model_validate(dict(values), strict=True, context=context)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise self.error(_sentence(first, model, at), *at, *first["loc"]) from None


def _decoded(path: Path) -> str:
    """Return a file's text, which is UTF-8, with a byte-order mark or without one; see `TomlFile.read` for errors."""
    content = path.read_bytes()
    if len(content) > MOST_BYTES:
        raise SpaceError(f"{path}: has {len(content):,} bytes, more than {MOST_BYTES:,}")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise SpaceError(f"{path}: the file is UTF-16 text, not UTF-8; save it as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise SpaceError(
            f"{path}:{line}: the file is not UTF-8 text: it has a byte 0x{byte:02x} there; save it as UTF-8"
        ) from None


def _is_deeper(content: object, levels: int) -> bool:
    """Tell whether tables and lists are in one another more than `levels` deep; no deeper ones are looked at."""
    inside: list[object] = [content]
    for _ in range(levels + 1):
        tables = [each.values() if isinstance(each, dict) else each for each in inside if isinstance(each, dict | list)]
        if not tables:
            return False
        inside = [each for values in tables for each in values]
    return True


def _sentence(error: Any, model: type[BaseModel], at: KeyPath) -> str:
    """Return pydantic's `error` as one sentence in the words of the file."""
    # Pydantic appends the branch of a union, such as 'literal', to the location; the file knows string keys only.
    *parents, key = [str(part) for part in (*at, *error["loc"]) if not isinstance(part, int)]
    where = f" in [{'.'.join(parents)}]" if parents else ""
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key '{key}'{where}{did_you_mean(key, _fields(model, error['loc'][:-1]))}"
        case "missing":
            return f"key '{key}' is missing{where}"
        case "value_error":
            return str(error["ctx"]["error"])
        case "literal_error":
            allowed = re.findall("'([^']*)'", error["ctx"]["expected"])
            return f"unknown {key} {error['input']!r}{where}{did_you_mean(error['input'], allowed)}"
    message = error["msg"].replace("Input should", "should").replace("tuple", "list")
    return f"{key} = {error['input']!r}{where} {message[0].lower()}{message[1:]}"


def _fields(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys of the table at `path` inside `model`."""
    for part in path:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return list(model.model_fields)
