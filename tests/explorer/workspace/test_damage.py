"""Damage of every kind to what lies in a workspace: as if it were not there, or one sentence, and never a hang."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from explorer.core.configuration import Configuration
from explorer.core.errors import WorkspaceError
from explorer.core.files import locks, regular
from explorer.core.files.digests import digest_of_file
from explorer.inputs import own_reads, user_code
from explorer.inputs.own_reads import Asked
from explorer.workspace.database.records import Record, Records
from explorer.workspace.holding import Holder
from explorer.workspace.store import META, Store
from explorer.workspace.workspace import Workspace
from tests.damage import Damage, damages

KEY = "ab" * 32
FILES = (META, "weights.npy", "nested/layers.json")
VALUES = {"accuracy": 0.5, "classes": [1, 2], "metric": "accuracy"}


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """The folder of a store with an artifact."""
    store = Store(tmp_path / "place" / "workspace" / "artifacts")
    with store.locked(KEY), store.draft() as draft:
        (draft / "nested").mkdir()
        np.save(draft / "weights.npy", np.arange(50.0))
        (draft / "nested" / "layers.json").write_text('[{"name": "conv", "macs": 12}]')
        store.publish("train", KEY, draft, VALUES, 1.5)
    return store.root


def each(path: Path, seed: int) -> list[Damage]:
    return list(damages(path, random.Random(seed)))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [*FILES, "", ".."])
def test_a_damaged_artifact_is_as_if_it_were_not_there(name: str, seed: int, published: Path, tmp_path: Path) -> None:
    place, copy = Store(published), tmp_path / "whole"
    shutil.copytree(published, copy)
    whole = place.find("train", KEY)
    assert whole
    for index in range(len(each(whole.path / name, seed))):
        place.clear("train", KEY)
        regular.clear(whole.path.parent)
        shutil.copytree(copy / "train", published / "train", dirs_exist_ok=True)
        assert place.find("train", KEY) == whole
        damage = each(Path(os.path.normpath(whole.path / name)), seed)[index]
        damage.apply()
        for store in (place, Store(published)):  # one that has seen it whole, and one that has not
            found = store.find("train", KEY)
            if found is None:
                assert store.damage("train", KEY) or not os.path.lexists(whole.path), damage.name
            else:  # what is as it was, such as a file that only its owner may read
                assert found == whole, damage.name
                assert np.array_equal(np.load(found.path / "weights.npy"), np.arange(50.0)), damage.name
        with place.locked(KEY), place.draft() as draft:
            place.publish("train", KEY, draft, VALUES, 2.0)
        assert place.find("train", KEY), damage.name
        place.clear("train", KEY)


@pytest.mark.parametrize("name", ["tmp", "locks", "scratch", "tuning"])
def test_what_lies_in_place_of_a_folder_makes_way(name: str, tmp_path: Path) -> None:
    for make in (lambda path: path.write_text("x"), os.mkfifo, lambda path: path.symlink_to("nothing")):
        make(tmp_path / name)
        store = Store(tmp_path)
        with store.locked(KEY), store.draft():
            assert not store.scratch(KEY).exists()
            store.shared("tuning", KEY).mkdir(parents=True, exist_ok=True)
        regular.clear(tmp_path / name)


def socket_at(path: Path) -> None:
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
        one.bind(str(path))


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, socket_at, lambda path: path.symlink_to("elsewhere")])
def test_a_lock_is_a_file(make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make(Path("lock"))
    assert Holder.read(Path("lock")) == Holder()
    with locks.opened(Path("lock")) as lock:
        assert locks.taken(lock)
    assert os.listdir(tmp_path) == ["lock"]


def test_a_damaged_cache_of_digests_is_made_anew(tmp_path: Path) -> None:
    file, cache = tmp_path / "images", tmp_path / "workspace" / "digests.db"
    file.write_text("pixels")
    expected = digest_of_file(file, cache)
    whole = cache.read_bytes()
    for seed in range(3):
        for index in range(len(each(cache, seed))):
            damage = each(cache, seed)[index]
            with contextlib.suppress(sqlite3.Error):  # some damage does not fit this database
                damage.apply()
            assert digest_of_file(file, cache) == expected, damage.name
            regular.clear(cache)
            cache.write_bytes(whole)


def test_what_is_known_of_code_is_found_anew_where_that_is_damaged(tmp_path: Path) -> None:
    place = Workspace(tmp_path / "workspace")
    (tmp_path / "nets.py").write_text("SIZE = 3\n")
    (tmp_path / "sizes.txt").write_text("3")
    answer = {"files": [str(tmp_path / "sizes.txt")], "folders": [], "targets": 7}
    asked, located = Asked("model", "nets:build", [str(tmp_path)], [{}]), user_code.locate("nets:build", [tmp_path])
    expected = own_reads.found(asked, located, (), place, lambda asked: answer)
    assert own_reads.found(asked, located, (), place, lambda asked: pytest.fail("it is known")) == expected
    whole = place.digests.read_bytes()
    for seed in range(3):
        for index in range(len(each(place.digests, seed))):
            damage = each(place.digests, seed)[index]
            with contextlib.suppress(sqlite3.Error):  # some damage does not fit this database
                damage.apply()
            assert own_reads.found(asked, located, (), place, lambda asked: answer) == expected, damage.name
            regular.clear(place.digests)
            place.digests.write_bytes(whole)


def test_a_database_of_another_kind_is_refused_in_one_sentence_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "place" / "workspace" / "study.db"
    path.parent.mkdir(parents=True)
    records = Records(f"sqlite:///{path}")
    records.add_trial("s", 0, Configuration("digits", "resnet18"), Record({"accuracy": 0.9}), 1.0)
    with records.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    records.close()
    whole = path.read_bytes()
    for name in ("random bytes", "another application's", "another application's table of the name", "a folder",
                 "a pipe", "a socket", "a link to nothing", "a link to a folder"):  # fmt: skip
        regular.clear(path)
        path.write_bytes(whole)
        next(damage for damage in each(path, 0) if damage.name == name).apply()
        before = path.read_bytes() if path.is_file() else None
        with pytest.raises(WorkspaceError, match=rf"the database '{path}' .*; (put|move|choose|look)"):
            Records(f"sqlite:///{path}")
        if not name.endswith("of the name"):  # which is taken for an earlier version's, and so put into WAL mode
            assert (path.read_bytes() if path.is_file() else None) == before, name
        for left in path.parent.glob("study.db-*"):
            left.unlink()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("configuration = '{'", "its configuration cannot be read: "),
        ("configuration = json_set(configuration, '$.colour', 'red')", "its configuration has an unknown axis, colour"),
        ("configuration = json_remove(configuration, '$.model')", "its configuration has no model"),
        ("configuration = json_set(configuration, '$.threads', 'two')", "its configuration has threads 'two'"),
        ('"values" = \'{"accuracy": NaN}\'', "its values have accuracy nan"),
        ('"values" = \'{"latency_ms": "fast"}\'', "its values have latency_ms 'fast'"),
        ("\"values\" = '[]'", r"its values are \[\], no object"),
        ("failure = '{}'", "its failure has other fields than a failure"),
        ("seconds = 'long'", "its seconds is 'long', no finite number"),
        ("finished = 'yesterday'", "its finished cannot be read: "),
    ],
)
def test_an_odd_row_is_named_and_left_out(change: str, why: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    records = Records(url)
    for number, model in enumerate(("resnet18", "vgg16")):
        records.add_trial("s", number, Configuration("digits", model), Record({"accuracy": 0.9}), 1.0)
    with records.engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE dlas_trials SET {change} WHERE number = 0")
    found = Records(url)
    ((odd, told),) = found.odd("s").items()
    assert odd == 0
    assert why.replace("\\", "") in told
    assert found.count("s") == (1, 0, 0)
    assert found.frame("s")["model"].to_list() == ["vgg16"]
    assert [number for number, *_ in found.complete("s")] == [1]
    assert found.outcome("s", 0) is None
    assert len(found.configurations("s")) == len(list(found.values())) == 1


@pytest.mark.parametrize("name", ["empty", "random bytes", "a folder", "a pipe", "grown to 1 GiB", "a link to itself"])
def test_a_file_that_names_no_database_is_said(name: str, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "place" / "workspace")
    place.on(f"sqlite:///{tmp_path}/elsewhere.db")
    next(damage for damage in each(place.server, 1) if damage.name == name).apply()
    with pytest.raises(WorkspaceError, match=r"does not say in which database the studies are: .*; write the URL"):
        _ = place.url
