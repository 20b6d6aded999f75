"""A tree of tables, lists and values, as files of settings have it → the same, changed as slips change it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, MutableMapping, MutableSequence
from dataclasses import dataclass
from typing import Any

# In place of a value that means something.
ODD: tuple[Any, ...] = (
    float("inf"), float("-inf"), float("nan"), 1e30, 1e308, 5e-324, 1e-9, 2**31, 2**63 - 1, 2**63, 10**40, -1, 0, 1,
    -0.0,
    0.5, True, False, "", " ", "x", "all", "none", "ä\u200bß 漢字 🦀", "a\nb", "[/x]", "%s{0}", "../..", "/", "1",
    "inf",
    "latency_ms on ", " on local", "local+", "+", "local+local", ":", "a:b", "os:system", "onnx:", "timm:", "é" * 400,
    "x" * 100_000, [], {}, [[]], [1, "a"], {"a": {"b": 1}}, {"low": 0, "high": 1},
    {"low": 1, "high": 1e30, "step": 1e-9},
)  # fmt: skip
DEPTHS = (2, 50, 2000)
DEEPEST = 6  # level that is changed
LENGTHS = (100, 10_000, 100_000)
LONGEST = 40  # letters of a value that a sentence has at least


@dataclass
class Change:
    """What was changed, and the texts of which a sentence about it has one."""

    about: str
    hints: list[str]


def changed(tree: dict[str, Any], drawn: random.Random, times: int = 1) -> tuple[dict[str, Any], list[Change]]:
    """Return a copy of `tree` with some changes."""
    tree = copy.deepcopy(tree)
    made: list[Change] = []
    for _ in range(times):
        places = list(_places(tree))
        if places:
            node, key, path = drawn.choice(places)
            change = drawn.choice(CHANGES)(node, key, drawn)
            made.append(Change(change.about, [*change.hints, *path]))
    return tree, made


def _places(node: Any, path: tuple[str, ...] = (), depth: int = 0) -> Iterator[tuple[Any, Any, tuple[str, ...]]]:
    """Yield every table or list with each of its keys or indices, and the keys that lead to it."""
    items = node.items() if isinstance(node, MutableMapping) else enumerate(node)
    for key, value in list(items):
        yield node, key, path
        if isinstance(value, MutableMapping | MutableSequence) and depth < DEEPEST:
            yield from _places(value, (*path, *_named(key)), depth + 1)


def shown(value: object) -> list[str]:
    """Return the texts by which a sentence may show a value."""
    if isinstance(value, list | dict):
        inside = [part for pair in value.items() for part in pair] if isinstance(value, dict) else value
        return [text for each in inside[:6] if not isinstance(each, list | dict) for text in shown(each)]
    texts = [repr(value), str(value).strip(), " ".join(str(value).splitlines())]
    if isinstance(value, float | int) and not isinstance(value, bool):
        texts += [f"{value:g}" if abs(value) < 1e300 else str(value), f"{value:,}"]
    return [text[:LONGEST] for text in texts]


def _short(value: object) -> str:
    """Return the beginning of a value, which may be nested too deep for Python to write."""
    try:
        return str(value)[:60]
    except RecursionError:
        return "nested deep"


def _odd_value(node: Any, key: Any, drawn: random.Random) -> Change:
    before, node[key] = node[key], copy.deepcopy(drawn.choice(ODD))
    return Change(f"{key} = {_short(node[key])!r}", [*_named(key), *shown(node[key]), *shown(before)])


def _near_value(node: Any, key: Any, drawn: random.Random) -> Change:
    """Take a number of another size, or a text for another."""
    before = node[key]
    if isinstance(before, bool):
        node[key] = not before
    elif isinstance(before, int | float):
        node[key] = drawn.choice(
            (before * 2, before * 10, before * 1000, -before, before + 1, before / 3, float(before))
        )
    elif isinstance(before, str):
        node[key] = drawn.choice(("int8", "gemm", "gp", "l2", "minimize", "resnet18", "digits", "csr", "auto", "bce"))
    return Change(f"{key} = {_short(node[key])!r}", [*_named(key), *shown(node[key]), *shown(before)])


def _remove(node: Any, key: Any, drawn: random.Random) -> Change:
    return Change(f"without {key}", [*_named(key), *shown(node.pop(key))])


def _misspell(node: Any, key: Any, drawn: random.Random) -> Change:
    """Spell a key, or a text in a list, otherwise."""
    text = str(key) if isinstance(node, MutableMapping) else _short(node[key])
    where = drawn.randrange(len(text) + 1)
    typo = drawn.choice((text[:where] + "q" + text[where:], text[1:], text + text[-1:], text.upper()))
    if isinstance(node, MutableMapping):
        node[typo] = node.pop(key)
    else:
        node[key] = typo
    return Change(f"{text} → {typo}", [repr(typo), typo, *_named(text), typo.strip()])


def _nest(node: Any, key: Any, drawn: random.Random) -> Change:
    before, depth = node[key], drawn.choice(DEPTHS)
    as_list = drawn.random() < 0.5
    for _ in range(depth):
        node[key] = [node[key]] if as_list else {"a": node[key]}
    return Change(f"{key} nested {depth}", [*_named(key), *shown(before), "nest", "'a'", "[[["])


def _grow(node: Any, key: Any, drawn: random.Random) -> Change:
    """Have more items, other ones or as before, in place of a value."""
    before, length = node[key], drawn.choice(LENGTHS)
    first = before[0] if isinstance(before, list) and before else before
    kind = drawn.randrange(4)
    if kind == 0:
        node[key] = list(range(1, length + 1))
    elif kind == 1:
        node[key] = [f"name{index}" for index in range(length)]
    elif kind == 2:
        node[key] = [first] * length
    else:
        node[key] = {f"key{index}": index for index in range(length)}
    return Change(f"{key} of {length}", [*_named(key), *shown(first), "key0", "name0", f"{length:,}"])


def _unknown_key(node: Any, key: Any, drawn: random.Random) -> Change:
    value = copy.deepcopy(drawn.choice(ODD))
    if isinstance(node, MutableMapping):
        node["surplus"] = value
    else:
        node.append(value)
    return Change(f"more: {str(value)[:60]!r}", ["surplus", *shown(value), *_named(key), *shown(node)])


def _twice(node: Any, key: Any, drawn: random.Random) -> Change:
    """Have a thing twice: `toml` writes a key that ends in this mark as the one before it."""
    if isinstance(node, MutableMapping):
        node[f"{key}{AGAIN}"] = node[key]
    else:
        node.insert(key, node[key])
    return Change(f"{key} twice", [*_named(key), *shown(node[key]), "overwrite", "twice"])


def _named(key: Any) -> list[str]:
    return [key] if isinstance(key, str) else []


AGAIN = "\u0001again"
CHANGES: tuple[Callable[[Any, Any, random.Random], Change], ...] = (
    _odd_value, _odd_value, _odd_value, _near_value, _near_value, _near_value, _near_value, _remove, _misspell, _nest,
    _grow, _unknown_key, _twice,
)  # fmt: skip


def toml(tree: dict[str, Any]) -> str:
    """Return a file of settings: its tables one after the other, all that is deeper on one line."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in tree.items() if not _is_table(value)]
    for key, value in tree.items():
        for table in value if isinstance(value, list) else [value]:
            if _is_table(value):
                lines.append(f"[[{_key(key)}]]" if isinstance(value, list) else f"[{_key(key)}]")
                lines += [f"{_key(name)} = {_value(each)}" for name, each in table.items()]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(each, dict) for each in value)
    return isinstance(value, dict)


def _key(key: str) -> str:
    return _text(key.removesuffix(AGAIN))


def _value(value: Any) -> str:
    """Return a value in TOML, of whatever depth."""
    parts: list[str] = []
    waiting: list[Any] = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, _Written):
            parts.append(each)
        elif isinstance(each, dict):
            waiting += [_Written("}"), *_joined([(_Written(f"{_key(key)} = "), own) for key, own in each.items()])]
            parts.append("{")
        elif isinstance(each, list | tuple):
            waiting += [_Written("]"), *_joined([(own,) for own in each])]
            parts.append("[")
        else:
            parts.append(_scalar(each))
    return "".join(parts)


class _Written(str):
    pass


def _joined(items: list[tuple[Any, ...]]) -> list[Any]:
    """Return the parts of items with commas between them, the last part first."""
    return [part for item in reversed(items) for part in (_Written(", "), *reversed(item))][1:]


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "nan" if value != value else repr(value)
    return str(value) if isinstance(value, int) else _text(str(value))


def _text(text: str) -> str:
    escaped = "".join(f"\\u{ord(each):04x}" if each < " " or each in '"\\\x7f' else each for each in text)
    return f'"{escaped}"'
