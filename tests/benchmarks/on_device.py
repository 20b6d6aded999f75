"""Entry of a devices file → compiled networks, and candidates of `auto`, timed there over RPC as a study times them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.benchmarks.common import Timed
from tests.benchmarks.engines import Engine, Variant, image, in_process

if TYPE_CHECKING:
    from dlas_ops.placement.graph import Problem
    from dlas_ops.selection.selection import Measure

SESSION_SECONDS = 6 * 3600  # a contender keeps its session for all its turns


@dataclass(frozen=True)
class Place:
    """A device that answers.

    Attributes
    ----------
    target : what to compile for
    processor : what the device says that it is
    is_here : whether it is this machine, so that the engines of this machine can be compared with it
    """

    name: str
    tracker: str
    key: str
    target: Mapping[str, Any]
    processor: str
    is_here: bool

    def session(self, threads: int, seconds: int = SESSION_SECONDS) -> Any:
        """Return a session that computes on so many threads."""
        from explorer.line.device import rpc

        session = rpc.connect(self.tracker, self.key, seconds)
        rpc.set_threads(session, threads, "measure", self.key)
        return session


@contextmanager
def reached(name: str, file: Path | None, threads: int) -> Iterator[Place]:
    """Give the device of that name in a devices file, the bundled one unless given; a loopback device is served.

    Raises
    ------
    DeviceError
        If there is no such entry, the device does not answer, or its target does not fit what it is.
    """
    from explorer.core.errors import DeviceError, did_you_mean
    from explorer.devices import devices
    from explorer.processes import loopback

    found = devices(file)
    if name not in found:
        raise DeviceError(f"no device '{name}'{did_you_mean(name, found)}")
    device = found[name]
    with ExitStack() as served:
        tracker = device.tracker
        if device.is_loopback:
            log = Path(served.enter_context(TemporaryDirectory())) / "server.log"
            tracker = served.enter_context(loopback.server(device.key, device.cores or loopback.own_cores(), log))
        target, processor = in_process(_asked, tracker, device.key, device.target, threads, name)
        yield Place(name, tracker, device.key, target, processor, device.is_here)


def _asked(tracker: str, key: str, target: Any, threads: int, name: str) -> tuple[dict[str, Any], str]:
    """Return a device's target and what it says that it is, after all that a study asks at its start."""
    from explorer.line.device import rpc
    from explorer.line.probing.describe import SESSION_SECONDS, describe, likely
    from explorer.line.probing.self_description import described

    answer = describe(tracker, key, target, threads, name)["target"]
    return answer, str(described(rpc.connect(tracker, key, SESSION_SECONDS), likely(answer)).says)


def dlas(spec: str, threads: int, libraries: dict[str, Path], place: Place) -> Engine:
    """Run libraries of object files in TVM's virtual machine on a device, in one session."""
    from dlas_ops._tvm import tvm
    from explorer.line.device import rpc

    session = place.session(threads)
    data = tvm.runtime.tensor(image(spec), rpc.device(session, place.target))

    def runner(path: Path) -> Timed:
        network = rpc.machine(session, rpc.place(session, path), place.target)

        def timed(warm_up: float, runs: int) -> list[float]:
            end = time.perf_counter() + warm_up
            network["main"](data)
            while time.perf_counter() < end:
                network["main"](data)
            taken = network.time_evaluator("main", session.cpu(), number=1, repeat=runs)(data) if runs else None
            return [1e3 * seconds for seconds in taken.results] if taken else []

        return timed

    return {variant: runner(path) for variant, path in libraries.items()}


def measuring(place: Place, threads: int, model: Any, target: Any, variant: Variant) -> Measure:
    """Return what times candidates for the layers of a model on a device; see `dlas_ops.select`."""
    import dlas_ops
    from dlas_ops.passes.eviction import Eviction, evicted_bytes
    from dlas_ops.processor.targets import describe
    from dlas_ops.selection import candidates

    def measure(problems: Sequence[Problem]) -> list[dict[str, float]]:
        built = candidates.build(problems, target)
        session = place.session(threads)
        with TemporaryDirectory() as folder:
            library = Path(folder) / "candidates.tar"
            built.library.export_library(str(library))
            session.upload(str(library))
        loaded = session.load_module(library.name)
        weight_bytes = dlas_ops.plan(model, target, format=variant.format, dtype=variant.dtype).weight_bytes
        evicted = evicted_bytes(weight_bytes, describe(target))
        eviction = Eviction(evicted, threads, session.cpu(), session.get_function(candidates.FILL))
        samples = [candidates.sample(loaded, eviction, own, built.weights) for own in built.functions]
        return [{name: median(times) for name, times in own.items()} for own in samples]

    return measure
