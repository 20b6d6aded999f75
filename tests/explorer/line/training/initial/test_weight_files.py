"""Files of weights that are odd in form: each holds weights, or says in one sentence why it does not."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from explorer.core.errors import ExplorerError
from explorer.line.training.initial import weight_files

PLAIN = {"a.weight": torch.arange(6.0).reshape(2, 3)}


def nested(depth: int) -> dict[str, Any]:
    made: dict[str, Any] = dict(PLAIN)
    for _ in range(depth):
        made = {"state_dict": made}
    return made


def saved(folder: Path, content: object) -> Path:
    torch.save(content, folder / "given.pt")
    return folder / "given.pt"


def refusal(path: Path) -> str:
    with pytest.raises(ExplorerError) as caught:
        weight_files.contents(path)
    return str(caught.value).removeprefix(str(path)).lstrip(": ")


def test_weights_lie_some_keys_deep_and_not_without_end(tmp_path: Path) -> None:
    found = weight_files.contents(saved(tmp_path, nested(3)))
    assert found.under == "state_dict.state_dict.state_dict"
    assert torch.equal(found.tensors["a.weight"], PLAIN["a.weight"])
    itself: dict[str, Any] = {}
    itself["model"] = itself
    assert refusal(saved(tmp_path, itself)).startswith("has its weights more than 10 keys deep, in model.model.")
    assert refusal(saved(tmp_path, nested(100))).startswith("has its weights more than 10 keys deep")


@pytest.mark.parametrize(
    ("tensor", "why"),
    [
        (torch.zeros(2, 3).to_sparse(), "has the layout torch.sparse_coo"),
        (torch.empty(2, 3, device="meta"), "has no numbers, as it is on device meta"),
        (torch.zeros(2, 3, dtype=torch.complex64), "has complex numbers"),
        (torch.zeros(1).expand(10**11), "says that it has 100,000,000,000 numbers, and the file holds fewer"),
    ],
)
def test_a_tensor_that_is_not_plain_is_named(tensor: torch.Tensor, why: str, tmp_path: Path) -> None:
    said = refusal(saved(tmp_path, {**PLAIN, "b": tensor}))
    assert said == f"tensor 'b' {why}; allowed: dense tensors of numbers"


class Pwned:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("form", ["pickle", "archive"])
def test_nothing_in_a_file_is_executed(form: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "mark", tmp_path / "given.pt"
    if form == "archive":
        torch.save({**PLAIN, "b": Pwned(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Pwned(mark)))
    assert "save model.state_dict()" in refusal(path) or "is no checkpoint" in refusal(path)
    assert not mark.exists()


def test_an_archive_that_lacks_a_part_is_damaged(tmp_path: Path) -> None:
    path = saved(tmp_path, PLAIN)
    made = io.BytesIO()
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(made, "w") as changed:
        for name in given.namelist():
            if not name.endswith("data/0"):
                changed.writestr(name, given.read(name))
    path.write_bytes(made.getvalue())
    assert refusal(path) == "is no checkpoint that torch.save wrote, or is damaged"
