"""The store: publishing, verifying, and two processes that want the same key."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.core.artifact import Artifact
from explorer.workspace.store import META, Store

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


def publish(store: Store, text: str = "weights", key: str = KEY) -> Artifact:
    with store.locked(key), store.draft() as draft:
        (draft / "nested").mkdir()
        (draft / "weights.txt").write_text(text)
        (draft / "nested" / "more.txt").write_text(text)
        return store.publish("train", key, draft, {"accuracy": 0.5}, 1.5)


def test_what_was_published_is_found(store: Store) -> None:
    assert store.find("train", KEY) is None
    published = publish(store)
    assert store.find("train", KEY) == published
    assert (published.path / "nested" / "more.txt").read_text() == "weights"
    assert published.values == {"accuracy": 0.5}


def test_another_process_finds_it(store: Store) -> None:
    publish(store)
    found = Store(store.root).find("train", KEY)
    assert found is not None
    assert found.seconds == 1.5


@pytest.mark.parametrize("name", ["weights.txt", "nested/more.txt"])
def test_a_flipped_byte_is_noticed(store: Store, name: str) -> None:
    file = publish(store).path / name
    file.write_text("weighty")
    assert store.find("train", KEY) is None
    assert str(file) in (store.damage("train", KEY) or "")


def test_changed_values_are_noticed(store: Store) -> None:
    meta = publish(store).path / META
    meta.write_text(meta.read_text().replace('"accuracy": 0.5', '"accuracy": 0.9'))
    assert store.find("train", KEY) is None
    assert "values" in (store.damage("train", KEY) or "")


def test_a_missing_file_and_unreadable_metadata_are_damage(store: Store) -> None:
    path = publish(store).path
    (path / "weights.txt").unlink()
    assert store.damage("train", KEY)
    (path / META).write_text("{")
    assert store.damage("train", KEY)


def test_damage_is_noticed_after_a_verified_read(store: Store) -> None:
    path = publish(store).path
    assert store.find("train", KEY)
    (path / "weights.txt").write_text("another length")
    assert store.find("train", KEY) is None


def test_publishing_replaces_what_was_damaged(store: Store) -> None:
    (publish(store).path / "weights.txt").write_text("x")
    publish(store, "rebuilt")
    found = store.find("train", KEY)
    assert found is not None
    assert (found.path / "weights.txt").read_text() == "rebuilt"


def test_an_unpublished_draft_leaves_nothing(store: Store) -> None:
    with store.draft() as draft:
        (draft / "half").write_text("half")
    assert store.find("train", KEY) is None
    assert not list((store.root / "tmp").iterdir())


def test_drafts_of_a_killed_process_are_cleaned(store: Store) -> None:
    (store.root / "tmp" / "left").mkdir()
    (store.root / "tmp" / "left" / "file").write_text("half")
    store.clean()
    assert not list((store.root / "tmp").iterdir())


BUILDER = """
import json, sys, time
from pathlib import Path
from explorer.workspace.store import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
with store.locked("cd" * 32):
    built = store.find("train", "cd" * 32) is None
    if built:
        with store.draft() as draft:
            time.sleep(0.2)
            (draft / "file").write_text("x" * 100)
            store.publish("train", "cd" * 32, draft, {}, 0.2)
print(json.dumps(built))
"""


def test_of_processes_that_want_one_key_one_builds(store: Store) -> None:
    command = [sys.executable, "-c", BUILDER, str(store.root)]
    builders = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for builder in builders:
        assert builder.stdout is not None
        assert builder.stdout.readline() == "ready\n"
    answers = [builder.communicate("go\n") for builder in builders]
    assert sorted(json.loads(out) for out, _ in answers) == [False, False, True]


def test_a_scratch_folder_outlives_the_process_until_the_key_is_published(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for key in ("one", "two"):
        store.scratch(key).mkdir(parents=True)
        (store.scratch(key) / "state").write_text("half way")
    Store(tmp_path).clean()
    assert (store.scratch("one") / "state").read_text() == "half way"
    with store.locked("one"), store.draft() as draft:
        store.publish("train", "one", draft, {}, 0.0)
    assert not store.scratch("one").exists()
    assert store.scratch("two").exists()
