"""The bytes of a file → the same damaged: cut, flipped, overwritten, of another format, or with other parts inside."""

from __future__ import annotations

import io
import json
import pickle
import random
import zipfile
from collections.abc import Callable
from typing import Any

from tests.malformed import trees

# The first bytes of other formats, or all of a small file.
OTHERS: tuple[bytes, ...] = (
    b"", b"\0", b"\n", b"not a file of this kind", b"\x89PNG\r\n\x1a\n" + bytes(40),
    b"\xff\xd8\xff\xe0\0\x10JFIF" + bytes(30),
    b"PK\x03\x04" + bytes(26), b"PK\x05\x06" + bytes(18), b"\x7fELF" + bytes(60), b"\x1f\x8b\x08" + bytes(20),
    b"GIF89a" + bytes(20),
    b'{"a": [1, 2]}', b"[axes]\nmodel = 1\n", b"<html></html>", b"SQLite format 3\0" + bytes(100), b"\x80\x02}q\0.",
    b"\x89HDF\r\n\x1a\n" + bytes(50),
    pickle.dumps({"a": 1}), pickle.dumps([1, 2, 3]), b"cos\nsystem\n(S'touch pwned'\ntR.",
    b"\x80\x04" + b"(" * 5000 + b".",
    b"\x80\x04" + b"]" * 3000 + b"a" * 2999 + b".", "ä漢字🦀".encode(), b"\xff\xfe" + "axes".encode("utf-16-le"),
)  # fmt: skip


def damaged(content: bytes, drawn: random.Random) -> bytes:
    """Return `content` with one damage."""
    return drawn.choice(DAMAGES)(content, drawn)


def _cut(content: bytes, drawn: random.Random) -> bytes:
    return content[: drawn.randrange(len(content) + 1)]


def _flip(content: bytes, drawn: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(drawn.choice((1, 4, 64)) if changed else 0):
        # The head and the tail say what the rest is.
        near = min(len(changed), 400)
        where = drawn.choice(
            (drawn.randrange(len(changed)), drawn.randrange(near), len(changed) - 1 - drawn.randrange(near))
        )
        changed[where] ^= 1 << drawn.randrange(8)
    return bytes(changed)


def _overwrite(content: bytes, drawn: random.Random) -> bytes:
    start = drawn.randrange(len(content) + 1)
    length = min(drawn.choice((1, 8, 500)), len(content) - start)
    fill = drawn.choice((bytes(length), b"\xff" * length, drawn.randbytes(length)))
    return content[:start] + fill + content[start + length :]


def _longer(content: bytes, drawn: random.Random) -> bytes:
    more = drawn.choice((b"\0", content, drawn.randbytes(100_000)))
    return drawn.choice((content + more, more + content))


def _other(content: bytes, drawn: random.Random) -> bytes:
    return drawn.choice(OTHERS)


DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (_cut, _flip, _flip, _overwrite, _longer, _other)


def other_archive(content: bytes, drawn: random.Random) -> bytes:
    """Return a zip archive of other members: one lacks, is empty, damaged, there twice, or of another name."""
    members = [(each, zipfile.ZipFile(io.BytesIO(content)).read(each)) for each in _names(content)]
    index = drawn.randrange(len(members))
    # What the archive is about stands in this one.
    index = (
        next((i for i, (name, _) in enumerate(members) if name.endswith("data.pkl")), index)
        if drawn.random() < 0.5
        else index
    )
    name, own = members[index]
    match drawn.randrange(6):
        case 0:
            members.pop(index)
        case 1:
            members[index] = (name, b"")
        case 2 | 3:
            members[index] = (name, _flip(own, drawn))
        case 4:
            members.append((name, damaged(own, drawn)))
        case _:
            members[index] = (drawn.choice((name + "x", "../" + name, "/" + name, "x" * 300)), own)
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:
        for name, own in members:
            archive.writestr(zipfile.ZipInfo(name), own)
    return made.getvalue()


def _names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def other_pickle(content: bytes, drawn: random.Random) -> bytes:
    """Return an archive of torch's whose pickle names other code, or other sizes."""
    swaps = (
        (b"torch._utils", b"os"), (b"_rebuild_tensor_v2", b"system"), (b"FloatStorage", b"LongStorage"),
        (b"FloatStorage", b"FloatStorags"), (b"OrderedDict", b"defaultdict"), (b"cpu", b"cuda"), (b"cpu", b"meta"),
        (b"K\x03", b"K\xff"),
        (b"K\x01", b"J\xff\xff\xff\xff"), (b"K\x08", b"J\xff\xff\xff\x7f"), (b"weight", b"w\0ight"),
        (b"storage", b"storagf"),
    )  # fmt: skip
    before, after = drawn.choice(swaps)
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as changed:
        for name in archive.namelist():
            own = archive.read(name)
            is_it = name.endswith("data.pkl")
            changed.writestr(zipfile.ZipInfo(name), own.replace(before, after, drawn.choice((1, -1))) if is_it else own)
    return made.getvalue()


def other_header(content: bytes, drawn: random.Random) -> bytes:
    """Return a file of safetensors with another header, or another length of it."""
    length = int.from_bytes(content[:8], "little")
    header, rest = json.loads(content[8 : 8 + length]), content[8 + length :]
    if drawn.random() < 0.3:
        odd = drawn.choice((0, 1, length + 1, 2**31, 2**63, 2**64 - 1))
        return odd.to_bytes(8, "little") + content[8:]
    changed, _ = trees.changed(header, drawn, drawn.choice((1, 2)))
    try:
        text = json.dumps(changed).encode()
    except RecursionError:
        text = b"[" * 100_000
    return len(text).to_bytes(8, "little") + text + rest


def other_message(message: Any, drawn: random.Random) -> None:
    """Change some fields of a protobuf message, or of those inside of it."""
    for _ in range(drawn.choice((1, 1, 2, 5))):
        places = [(each, field) for each in _messages(message) for field, _ in each.ListFields()]
        if places:
            _change_field(*drawn.choice(places), drawn)


def _messages(message: Any) -> Any:
    yield message
    for field, value in message.ListFields():
        if field.message_type:
            for each in value if field.is_repeated else [value]:
                yield from _messages(each)


def _change_field(message: Any, field: Any, drawn: random.Random) -> None:
    if drawn.random() < 0.2:
        message.ClearField(field.name)
        return
    value = getattr(message, field.name)
    if field.message_type:
        if field.is_repeated:
            match drawn.randrange(3):
                case 0:
                    del value[drawn.randrange(len(value))]
                case 1:
                    value.add().CopyFrom(value[drawn.randrange(len(value))])
                case _:
                    value[0].CopyFrom(value[drawn.randrange(len(value))])
        return
    odd: tuple[Any, ...] = (0, 1, -1, 7, 2**31 - 1, -(2**31), 255)
    if field.cpp_type in (field.CPPTYPE_INT64,):
        odd = (*odd, 2**63 - 1, -(2**63), 10**6)
    if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
        odd = (0.0, -1.0, float("inf"), float("nan"), 1e30)
    if field.cpp_type == field.CPPTYPE_STRING:
        is_bytes = field.type == field.TYPE_BYTES
        odd = (
            (b"", b"\0", bytes(10), b"x" * 9999)
            if is_bytes
            else ("", "x", "ä", "x" * 9999, "x\0y", "../../x", "Conv", "Add", "Loop", "0", "1")
        )
    try:
        if field.is_repeated:
            value[drawn.randrange(len(value))] = drawn.choice(odd)
        else:
            setattr(message, field.name, drawn.choice(odd))
    except (ValueError, TypeError):  # of an unsigned field or an enumeration
        message.ClearField(field.name)
