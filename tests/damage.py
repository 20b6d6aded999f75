"""A file of a workspace and a seeded generator → ways to damage it, by what it is: flipped, cut, or something else."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import sqlite3
import stat
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

HUGE = 1 << 30  # bytes of a file that has grown, which takes no space on the disk
PAGE = 4096  # bytes of a page of SQLite
DEPTH = 2000
DEEP = b"[" * DEPTH + b"]" * DEPTH
# What a value of JSON may have become.
ODD: tuple[object, ...] = (None, "", "text", -1, 1e308, float("nan"), float("inf"), 10**30, [], {}, [[]], True)
OUTSIDE = ("../../outside", "/etc/hostname", "", ".", "nested/../../outside", "no such file", "nul\0byte")


class Damage(NamedTuple):
    """One way to damage a file: what is done to it, and the call that does it."""

    name: str
    apply: Callable[[], object]


def damages(path: Path, rng: random.Random) -> Iterator[Damage]:
    """Yield ways to damage the file or folder at `path`; each is to be applied to one that is whole."""
    if path.is_dir():
        yield from _other_kinds(path)
        return
    yield from _bytes(path, rng)
    yield from _other_kinds(path)
    if path.suffix == ".json":
        yield from _json(path, rng)
    if path.suffix == ".jsonl":
        yield from _lines(path, rng)
    if path.suffix == ".db":
        yield from _sqlite(path, rng)


def _bytes(path: Path, rng: random.Random) -> Iterator[Damage]:
    size = path.stat().st_size

    def flip(count: int) -> None:
        content = bytearray(path.read_bytes())
        for _ in range(count if content else 0):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(content)

    def page() -> None:
        content = bytearray(path.read_bytes())
        start = rng.randrange(max(1, len(content))) // PAGE * PAGE
        content[start : start + PAGE] = bytes(len(content[start : start + PAGE]))
        path.write_bytes(content)

    def added() -> None:
        with path.open("ab") as file:
            file.write(rng.randbytes(rng.randrange(1, 100)))

    yield Damage("a bit flipped", lambda: flip(1))
    yield Damage("many bits flipped", lambda: flip(1 + size // 100))
    yield Damage("cut", lambda: os.truncate(path, rng.randrange(max(1, size))))
    yield Damage("empty", lambda: os.truncate(path, 0))
    yield Damage("a page of zeros", page)
    yield Damage("bytes added", added)
    yield Damage("grown to 1 GiB", lambda: os.truncate(path, HUGE))
    yield Damage("random bytes", lambda: path.write_bytes(rng.randbytes(max(1, size))))


def _other_kinds(path: Path) -> Iterator[Damage]:
    def gone() -> None:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def instead(make: Callable[[], object]) -> Callable[[], None]:
        def apply() -> None:
            gone()
            make()

        return apply

    def folder() -> None:
        path.mkdir()
        (path / "file").write_text("in the way")

    def listening() -> None:
        folder = os.open(path.parent, os.O_RDONLY)  # by which it has a name that is not too long for a socket
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
            one.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)

    def outside() -> None:
        elsewhere = path.parents[len(path.parents) - 4] / f"outside-{uuid.uuid4().hex}"
        path.rename(elsewhere)
        path.symlink_to(elsewhere)

    yield Damage("missing", gone)
    if path.is_dir():
        yield Damage("a file", instead(lambda: path.write_text("in the way")))
    else:
        yield Damage("a folder", instead(folder))
    yield Damage("a pipe", instead(lambda: os.mkfifo(path)))
    yield Damage("a socket", instead(listening))
    yield Damage("a link to itself", instead(lambda: path.symlink_to(path.name)))
    yield Damage("a link to nothing", instead(lambda: path.symlink_to("nothing")))
    yield Damage("a link to a folder", instead(lambda: path.symlink_to("/usr")))
    yield Damage("a link to its copy outside", outside)
    yield Damage("no permissions", lambda: path.chmod(0))
    if os.getuid() == 0:
        yield Damage("a device", instead(lambda: os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 5))))


def _json(path: Path, rng: random.Random) -> Iterator[Damage]:
    def changed(change: Callable[[Any], Any]) -> Callable[[], None]:
        def apply() -> None:
            path.write_text(json.dumps(change(json.loads(path.read_text()))))

        return apply

    def odd(found: Any) -> Any:
        """Replace one value, wherever it is, by one that does not belong there."""
        holders = [(found, key) for key in _keys(found)]
        while holders:
            holder, key = rng.choice(holders)
            below = [(holder[key], inner) for inner in _keys(holder[key])]
            if not below or rng.random() < 0.4:
                holder[key] = rng.choice(ODD)
                return found
            holders = below
        return rng.choice(ODD)

    def less(found: Any) -> Any:
        if _keys(found):
            del found[rng.choice(_keys(found))]
        return found

    yield Damage("without a field", changed(less))
    yield Damage("a value of another kind", changed(odd))
    yield Damage("an empty object", lambda: path.write_text("{}"))
    yield Damage("null", lambda: path.write_text("null"))
    yield Damage("nested deeply", lambda: path.write_bytes(DEEP))
    yield Damage("a number of 10,000 digits", lambda: path.write_text('{"files": ' + "9" * 10_000 + "}"))
    yield Damage("not UTF-8", lambda: path.write_bytes(b'{"files": "\xff\xfe"}'))
    if path.name == "meta.json":
        yield Damage("no files", changed(lambda found: {**found, "files": {}}))
        yield Damage("a file nested deeply", lambda: path.write_bytes(b'{"files": ' + DEEP + b"}"))
        name = rng.choice(OUTSIDE)
        yield Damage("a file elsewhere", changed(lambda found: {**found, "files": {**found["files"], name: "0" * 64}}))
        yield Damage("seconds that are none", changed(lambda found: {**found, "seconds": rng.choice(ODD)}))


def _keys(found: Any) -> Sequence[Any]:
    if isinstance(found, dict):
        return list(found)
    return range(len(found)) if isinstance(found, list) else ()


def _lines(path: Path, rng: random.Random) -> Iterator[Damage]:
    def changed(change: Callable[[bytes], bytes]) -> Callable[[], None]:
        def apply() -> None:
            lines = path.read_bytes().splitlines(keepends=True)
            index = rng.randrange(len(lines))
            lines[index] = change(lines[index])
            path.write_bytes(b"".join(lines))

        return apply

    def other(line: bytes) -> bytes:
        fields: dict[str, Any] = json.loads(line)
        fields[rng.choice(list(fields))] = rng.choice(ODD)
        return json.dumps(fields).encode() + b"\n"

    def digit(line: bytes) -> bytes:
        places = [index for index, byte in enumerate(line) if chr(byte).isdigit()]
        place = rng.choice(places)
        return line[:place] + str(rng.randrange(10)).encode() + line[place + 1 :]

    yield Damage("a torn line", changed(lambda line: line[: len(line) // 2] + b"\n"))
    yield Damage("two lines in one", changed(lambda line: line[:-1]))
    yield Damage("a line of zeros", changed(lambda line: bytes(len(line) - 1) + b"\n"))
    yield Damage("an empty line", changed(lambda line: b"\n" + line))
    yield Damage("a line nested deeply", changed(lambda line: DEEP + b"\n"))
    yield Damage("a field of another kind", changed(other))
    yield Damage("another digit", changed(digit))
    yield Damage("a line twice", changed(lambda line: line + line))


def _sqlite(path: Path, rng: random.Random) -> Iterator[Damage]:
    def run(*statements: str) -> Callable[[], None]:
        def apply() -> None:
            with contextlib.closing(sqlite3.connect(path)) as database:
                for statement in statements:
                    database.execute(statement)
                database.commit()

        return apply

    def page() -> None:
        content = bytearray(path.read_bytes())
        start = rng.randrange(1, max(2, len(content) // PAGE)) * PAGE
        content[start : start + PAGE] = rng.randbytes(PAGE)
        path.write_bytes(content)

    def replaced(*statements: str) -> Callable[[], None]:
        def apply() -> None:
            path.unlink()
            run(*statements)()

        return apply

    yield Damage("a page of random bytes", page)
    yield Damage("another application's", replaced("CREATE TABLE books (title)", "INSERT INTO books VALUES ('Emma')"))
    yield Damage("no table", replaced("PRAGMA user_version = 7"))
    yield Damage("another application's table of the name", replaced("CREATE TABLE dlas_trials (title)"))
    with contextlib.closing(sqlite3.connect(path)) as database:
        tables = _tables(database)
    for table, columns in tables.items():
        yield Damage(f"no table {table}", run(f"DROP TABLE {table}"))
        column = rng.choice(columns)
        for name, value in ROWS.items():
            yield Damage(f"{table}.{column} {name}", run(*_nullable(table), _odd_row(table, column, value)))
    if "dlas_trials" not in tables:  # it is no study's
        return
    yield Damage("a newer schema of Optuna's", run("UPDATE version_info SET schema_version = 99"))
    yield Damage("another revision of Optuna's", run("UPDATE alembic_version SET version_num = 'v99'"))
    yield from (
        Damage(f"trials with {name}", run(*_nullable("dlas_trials"), change)) for name, change in TRIALS.items()
    )


# Kind of value → how SQL writes it.
ROWS: Mapping[str, str] = {
    "NULL": "NULL",
    "of text": "'text'",
    "infinite": "9e999",
    "of bytes": "x'ff00fe'",
    "huge": "9223372036854775807",
    "negative": "-1",
}
# What happens to one trial of the explorer's own table.
TRIALS: Mapping[str, str] = {
    name: f"UPDATE dlas_trials SET {change} WHERE number = 1"
    for name, change in {
        "JSON that does not parse": "configuration = substr(configuration, 1, 20)",
        "values that do not parse": """ "values" = substr("values", 1, 20)""",
        "JSON nested deeply": f""" "values" = '{DEEP.decode()}'""",
        "an unknown axis": "configuration = json_set(configuration, '$.colour', 'red')",
        "an unknown choice": "configuration = json_set(configuration, '$.compression', 'magic')",
        "a choice of another kind": "configuration = json_set(configuration, '$.threads', 'two')",
        "an axis less": "configuration = json_remove(configuration, '$.model')",
        "values that are a list": """ "values" = '[]'""",
        "no values": """ "values" = '{}'""",
        "accuracy that is NaN": """ "values" = replace("values", '"accuracy": 0', '"accuracy": NaN, "x": 0')""",
        "infinite latency": """ "values" = replace("values", '"latency_ms": ', '"latency_ms": Infinity, "x": ')""",
        "latency that is text": """ "values" = json_set("values", '$.latency_ms', 'fast')""",
        "latency that is null": """ "values" = json_set("values", '$.latency_ms', null)""",
        "an accuracy that is a list": """ "values" = json_set("values", '$.accuracy', json('[1]'))""",
        "a key that leads elsewhere": """ "values" = json_set("values", '$.build_key', '../../../../etc')""",
        "a failure without its fields": "failure = '{}'",
        "an unknown stage": """failure = '{"stage": "magic", "kind": "odd", "message": "m", "log": ""}'""",
        "a failure that is text": """failure = '"text"'""",
        "a time that is none": "finished = 'yesterday'",
        "another study's name": "study = 'other'",
    }.items()
}


def _tables(database: sqlite3.Connection) -> dict[str, list[str]]:
    names = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    return {name: [f'"{row[1]}"' for row in database.execute(f"PRAGMA table_info({name})")] for name in names}


def _nullable(table: str) -> tuple[str, ...]:
    """Return what lets the columns of a table be anything."""
    relaxed = "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') WHERE name = "
    version = "PRAGMA schema_version = 1000"
    return "PRAGMA foreign_keys = OFF", "PRAGMA writable_schema = ON", f"{relaxed}'{table}'", version


def _odd_row(table: str, column: str, value: str) -> str:
    return f"UPDATE OR IGNORE {table} SET {column} = {value} WHERE rowid = (SELECT max(rowid) FROM {table})"
