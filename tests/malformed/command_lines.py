"""A seed → a command line of every verb with an option odd, missing, doubled or unknown."""

from __future__ import annotations

import random
from pathlib import Path

from tests.malformed import prepared, trees
from tests.malformed.kinds import AXES, SHORT, Case

ODD = (
    "", " ", "inf", "-inf", "nan", "-1", "0", "1e30", "9223372036854775808", "-0.0", "1e-320", "x", "x" * 5000,
    "ä漢字🦀",
    ",", "a,b", "../..", "a/b", "/", "/dev/null",
    "[/x]", "[bold]", "2/1", "1/0", "0/0", "1/99999999999", "None", "true", "{}", "%s", "'", '"', "a\nb", "--", "-",
    "--help", "1", "2", "0.5", "local+local", "+", ":", "timm:", "onnx:x", "sqlite://", "sqlite:////dev/full",
    "ftp://a:b@c",
)  # fmt: skip


def command_line(folder: Path, bases: Path, drawn: random.Random) -> Case:
    """Return a command line; those that compute do so with a small space."""
    (folder / "space.toml").write_text(trees.toml({"name": "s", "axes": AXES, "search": {"trials": 1}, **SHORT}))
    (folder / "devices.toml").write_text('[board]\ntracker = "127.0.0.1:9"\n')
    words = list(drawn.choice(_sound(folder, bases)))
    before = list(words)
    about, hints = drawn.choice((_odd, _odd, _odd, _odd, _leave_out, _double, _unknown, _surplus))(words, drawn)
    if words[:1] == ["run"] or words[:1] == ["grid"]:
        words += ["-w", str(folder / "w")] if "-w" not in words else []
    return Case(f"{' '.join(before[:2])}: {about}", words, [*hints, *before[1:3]], runs_on=True)


def _sound(folder: Path, bases: Path) -> list[list[str]]:
    """Return a command line of each verb with most of its options."""
    space, study = str(folder / "space.toml"), ["-w", str(bases / "w")]
    checkpoint = str(bases / "checkpoints" / "sound.pt")
    out, devices = str(folder / "out"), str(folder / "devices.toml")
    shape = ["--width", "0.125", "--classes", "10", "--shape", "1x8x8"]
    return [
        ["run", space, "--trials", "1", "--sampler", "random", "--seed", "1", "--jobs", "1", "--engine", "local"],
        ["run", space, "--trials", "1", "--database", f"sqlite:///{folder}/d.db", "--json"],
        ["grid", space, "--shard", "1/2", "--dry-run", "--jobs", "1"],
        ["measure", "3", "--sessions", "1", *study, "--study", "large", "--engine", "local"],
        ["profile", "3", "--sessions", "1", "--vs", "base", *study, "--study", "large"],
        ["best", "--latency-ms", "1", "--device", "local", "--min-accuracy", "0.1", "--confidence", "0.9", *study],
        ["best", "--max-drop", "0.5", "--speed-up", "2", *study, "--study", "large", "--json"],
        ["menu", "--device", "local", "--budgets", "0.1", *study, "--json"],
        ["front", "--device", "local", "--latency-ms", "1", "--figure", f"{out}.html", *study],
        ["status", *study, "--study", "large", "--json"],
        ["show", "3", *study, "--study", "large"],
        ["export", "--format", "json", "--output", f"{out}.json", *study],
        ["report", "--output", f"{out}.md", "--markdown", *study],
        ["figure", "front", "--output", f"{out}.html", "--device", "local", "--latency-ms", "1", *study],
        ["dashboard", "--port", "0", *study],
        ["bundle", "3", "--output", out, *study, "--study", "large"],
        ["verify", str(bases), "--device", "local", "--sessions", "1"],
        ["spaces", space, "--json"],
        ["devices", "--file", devices, "--check", "board", "--json"],
        ["devices", "--add", "more", "--tracker", "127.0.0.1:9", "--key", "k", "--kind", "llvm", "--file", devices],
        ["models", "torchvision:resnet"],
        ["weights", checkpoint, "--model", prepared.MODEL, *shape, "--json"],
    ]  # fmt: skip


def _odd(words: list[str], drawn: random.Random) -> tuple[str, list[str]]:
    """Give an option or argument another value."""
    values = [index for index in range(1, len(words)) if not words[index].startswith("-")]
    if not values:
        return _surplus(words, drawn)
    index = drawn.choice(values)
    name, before, words[index] = words[index - 1], words[index], drawn.choice(ODD)
    given = words[index]
    # What begins with a dash is taken for letters of options; any name will do for a file to be written, and then no
    # tracker answers.
    hints = [given[:2]] if given.startswith("-") else ["no RPC tracker"] if name == "--file" else []
    return f"{name} {given[:30]!r}", [*trees.shown(given.strip()), name, before[:40], *hints]


def _leave_out(words: list[str], drawn: random.Random) -> tuple[str, list[str]]:
    index = drawn.randrange(1, len(words)) if len(words) > 1 else 0
    gone = words.pop(index)
    return f"without {gone[:40]}", ["Missing", "requires an argument", gone, *words[1:]]


def _double(words: list[str], drawn: random.Random) -> tuple[str, list[str]]:
    options = [index for index in range(1, len(words)) if words[index].startswith("-")]
    if not options:
        return _surplus(words, drawn)
    index = drawn.choice(options)
    words += words[index : index + 2]
    return f"{words[index]} twice", [""]


def _unknown(words: list[str], drawn: random.Random) -> tuple[str, list[str]]:
    """Misspell an option or the verb."""
    options = [index for index, word in enumerate(words) if word.startswith("--") or index == 0]
    index = drawn.choice(options)
    word = words[index]
    where = drawn.randrange(2, len(word)) if len(word) > 2 else len(word)
    words[index] = drawn.choice((word[:where] + "q" + word[where:], word + "s", word.upper(), word[:where]))
    return words[index], [words[index]]


def _surplus(words: list[str], drawn: random.Random) -> tuple[str, list[str]]:
    value = drawn.choice(ODD)
    words.insert(drawn.randrange(len(words) + 1), value)
    return f"more: {value[:30]!r}", [
        value.strip()[:40],
        value[:2],
        repr(value)[:40],
        "unexpected extra argument",
        *words[1:],  # which all stand elsewhere now
    ]
