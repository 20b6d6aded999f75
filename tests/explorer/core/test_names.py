"""Names of studies and devices: those that are none are refused by one rule; a file's name stands for every other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from explorer.core import names
from explorer.core.errors import SpaceError
from explorer.space import devices, space
from tests.explorer.spaces import render


@given(name=st.text(max_size=300))
@example(name="../elsewhere")
@example(name="/etc/passwd")
@example(name="..")
@example(name="\0")
@example(name="x" * 600)
def test_a_file_with_the_name_of_a_study_lies_where_it_is_put(name: str) -> None:
    file = Path("/w") / f"{names.of_file(name)}.html"
    assert file.parent == Path("/w")
    assert ".." not in file.parts
    assert len(file.name.encode()) <= 255
    assert names.of_file(name) == name or names.refused(name)
    assert "\n" not in names.refused(name)


@pytest.mark.parametrize("name", ["[x]", "[bold]", "a b", "café ☕", "100%", ":smile:", "-x", "x" * 200])
def test_what_can_be_printed_is_a_name(name: str, tmp_path: Path) -> None:
    assert names.refused(name) == ""
    (tmp_path / "x.toml").write_text(render({"dataset": "digits", "model": "resnet18"}, (), name))
    assert space.load(tmp_path / "x.toml").name == name


@pytest.mark.parametrize("name", ["a/b", "..", "../x", "/tmp/x", "\x1b[31m", "x" * 600, "a\nb", "\x07"])
def test_what_is_no_name_is_refused_with_the_rule(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(render({"dataset": "digits", "model": "resnet18"}, (), name))
    with pytest.raises(SpaceError, match="is no name: a name has at most 200 bytes of characters that can be printed"):
        space.load(tmp_path / "x.toml")
    escaped = "".join(f"\\U{ord(character):08x}" for character in name)
    (tmp_path / "devices.toml").write_text(f'["{escaped}"]\ncores = [0]\n')
    with pytest.raises(SpaceError, match=r"devices\.toml.* is no name for a device: a name has at most 200 bytes"):
        devices.load(tmp_path / "devices.toml")


def test_no_text_of_a_space_has_the_character_0(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[axes]\ndataset = "digits"\n[data]\nimage_folder = "a\\u0000b"\n')
    with pytest.raises(SpaceError, match=r"x\.toml:4: image_folder = 'a\\x00b' has a character 0"):
        space.load(tmp_path / "x.toml")


def test_control_characters_are_shown_in_digits() -> None:
    assert names.visible("a\x1b[2Jb\x9bc\td\n") == "a\\x1b[2Jb\\x9bc\td\n"
