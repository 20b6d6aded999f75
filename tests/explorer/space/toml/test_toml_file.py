"""A TOML file: its content, and errors that name the file and the line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, ConfigDict

from explorer.core.errors import SpaceError
from explorer.space.toml.toml_file import TomlFile
from tests.explorer.spaces import Raw, refusal


def test_what_is_no_toml_is_refused_with_line_and_column(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"dataset": Raw('"digits')}).startswith("x.toml:2: not valid TOML, column ")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SpaceError, match="not UTF-8"):
        TomlFile.read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"x\.toml: cannot be read: No such file or directory"):
        TomlFile.read(tmp_path / "x.toml")


@pytest.mark.parametrize(
    "text",
    [
        f"a = {'[' * 2000}{']' * 2000}",
        f"a = {'{b=' * 2000}1{'}' * 2000}",
        f"{'.'.join('a' * 2000)} = 1",
        f"[{'.'.join('a' * 2000)}]",
        f"a = {'[' * 20}{']' * 20}",
    ],
)
def test_what_is_nested_deep_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(SpaceError, match=r"x\.toml: tables and lists are nested more than 20 deep"):
        TomlFile.read(tmp_path / "x.toml")


def test_what_is_nested_a_little_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(f"a = {'[' * 19}3{']' * 19}")
    assert str(TomlFile.read(tmp_path / "x.toml").content["a"]).strip("[]") == "3"


def test_a_large_file_and_a_number_of_thousands_of_digits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f"a = '{'x' * 2_000_000}'")
    with pytest.raises(SpaceError, match=r"x\.toml: has 2,000,006 bytes, more than 2,000,000"):
        TomlFile.read(path)
    path.write_text(f"a = {'9' * 5000}")
    with pytest.raises(SpaceError, match=r"x\.toml: not valid TOML: "):
        TomlFile.read(path)


def listed(given: object) -> object:
    return tuple(given) if isinstance(given, list) else given


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    number: int = 0
    name: Literal["one", "two"] = "one"
    names: Annotated[tuple[Literal["one", "two"], ...], BeforeValidator(listed)] = ()


class Outer(Inner):
    inner: Inner = Inner()
    needed: str


def written(folder: Path, text: str) -> TomlFile:
    path = folder / "x.toml"
    path.write_text(text)
    return TomlFile.read(path)


def test_an_error_stands_at_the_nearest_parent_whose_line_is_known(tmp_path: Path) -> None:
    file = written(tmp_path, "[a]\nb = 1\n")
    assert str(file.error("no", "a", "b")).endswith("x.toml:2: no")
    assert str(file.error("no", "a", "c", 0)).endswith("x.toml:1: no")
    assert str(file.error("no", "d")).endswith("x.toml: no")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "inner.numbr = 1",
            "x.toml:1: unknown key 'numbr' in [inner]; allowed: number, name, names; did you mean 'number'?",
        ),
        ("\nneeded = 'x'\nnumber = 'y'", "x.toml:3: number = 'y' should be a valid integer"),
        ("number = 1", "x.toml: key 'needed' is missing"),
        ("needed = 'x'\nname = 'tow'", "x.toml:2: unknown name 'tow'; allowed: one, two; did you mean 'two'?"),
        (
            "needed = 'x'\ninner.names = ['one', 'tow']",
            "x.toml:2: unknown names 'tow' in [inner]; allowed: one, two; did you mean 'two'?",
        ),
        ("needed = 'x'\ninner.names = 3", "x.toml:2: names = 3 in [inner] should be a valid list"),
    ],
)
def test_a_value_that_a_model_does_not_take_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    file = written(tmp_path, text)
    with pytest.raises(SpaceError) as caught:
        file.validate(Outer, file.content, ())
    assert str(caught.value).startswith(f"{tmp_path}/{message}")


def test_values_become_a_model(tmp_path: Path) -> None:
    file = written(tmp_path, "needed = 'x'\ninner.number = 3\n")
    assert file.validate(Outer, file.content, ()) == Outer(needed="x", inner=Inner(number=3))
