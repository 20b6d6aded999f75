"""The Ray engine on a real cluster of two nodes on this machine, one of which dies in the middle of a study."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from explorer.core.errors import DeviceError, ExplorerError
from explorer.engines.ray import most_cores
from explorer.search import search
from explorer.search.grids import grid
from explorer.search.search import Where
from explorer.space import space
from explorer.workspace.database.records import Records
from explorer.workspace.workspace import Workspace
from tests import studies

pytestmark = pytest.mark.slow
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs Ray: pip install 'dlas-explorer[ray]'")

CONFIGURATIONS = 4  # one model x (none, channel_pruning) x 1 algorithm x 2 thread counts


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that has the device, and nothing to compute with but what a measurement takes."""
    made = cluster_utils.Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "resources": {"device:local": 1}, "include_dashboard": False},
    )
    yield made
    made.shutdown()


class Killer(studies.Events):
    """Ends a node a moment after the first network has begun to be built."""

    def __init__(self, cluster: Any, node: Any) -> None:
        super().__init__()
        self.end = threading.Timer(0.5, cluster.remove_node, (node,), {"allow_graceful": False})

    def started(self, worker: str, stage: str) -> None:
        super().started(worker, stage)
        if stage == "build" and not self.end.is_alive() and not self.end.finished.is_set():
            self.end.start()


@pytest.mark.nightly
def test_a_study_outlives_a_node(cluster: Any, tmp_path: Path) -> None:
    path, workspace = studies.write_small(tmp_path), Workspace(tmp_path / "workspace")
    events = Killer(cluster, cluster.add_node(num_cpus=2))
    summary = search.run(space.load(path), workspace, events, Where("ray", cluster.address))
    assert events.end.finished.is_set(), "the node was ended"
    assert (summary.complete, summary.failed) == (CONFIGURATIONS, 0)
    records = Records(workspace.url)
    expected = {configuration.id for configuration in space.load(path).configurations()}
    assert {configuration.id for configuration in records.configurations("small")} == expected
    executions = records.executions.frame()
    assert executions[executions["stage"] != "measure"].groupby("key").size().max() == 1
    assert studies.executions(workspace.root)["train"] == 1

    again = studies.Events()
    studies.run(path, workspace.root, again, trials=CONFIGURATIONS)
    assert again.stages == [], "the local engine goes on with the study: all is on record"


@pytest.mark.nightly  # the contract of engines starts such a cluster every time
def test_a_cluster_of_this_machine_alone_gives_what_the_local_engine_gives(tmp_path: Path) -> None:
    path = studies.write_space(tmp_path, models=(studies.SMALL,), algorithms=("gemm",))
    frames = {}
    for engine in ("ray", "local"):
        workspace = Workspace(tmp_path / engine)
        summary = grid.run(space.load(path).whole, workspace, studies.Events(), where=Where(engine))
        assert (summary.complete, summary.failed) == (4, 0)
        frames[engine] = Records(workspace.url).frame("grid").set_index("configuration_id")
    same = ["accuracy", "size_bytes", "macs", "train_key", "compress_key", "build_key", "measure_key"]
    assert frames["ray"][same].equals(frames["local"].loc[frames["ray"].index, same])


def test_a_device_that_no_node_has_is_named(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "devices.toml").write_text('[board]\ntracker = "127.0.0.1:9190"\n')
    path = studies.write_space(tmp_path, axes={"threads": 1, "device": "board"})
    with pytest.raises(DeviceError, match=r"no node .* has the resource 'device:board'; start one with ray start .*"):
        search.run(space.load(path), Workspace(tmp_path / "w"), studies.Events(), Where("ray", cluster.address))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "no Ray cluster answers at '127.0.0.1:1': .*refused"),
        ("head", "address 'head' is neither host:port nor auto"),
    ],
)
def test_a_cluster_that_is_not_there_is_one_sentence(address: str, message: str, tmp_path: Path) -> None:
    path = studies.write_small(tmp_path)
    with pytest.raises(ExplorerError, match=message):
        search.run(space.load(path), Workspace(tmp_path / "w"), studies.Events(), Where("ray", address))


def test_what_is_no_engine_is_refused() -> None:
    with pytest.raises(ExplorerError, match=r"unknown engine 'rya'; allowed: local, ray; did you mean 'ray'\?"):
        Where("rya")
    with pytest.raises(ExplorerError, match="engine local takes no address, and 'head:6379' is one: add --engine ray"):
        Where("local", "head:6379")


def test_a_cluster_without_a_node_has_one_core() -> None:
    """So that what is asked of it fails as what it is, a cluster that is gone."""
    assert most_cores([]) == 1
    assert most_cores([{"Resources": {"CPU": 4.0}}, {"Resources": {}}]) == 4
