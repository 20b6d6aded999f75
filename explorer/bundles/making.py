"""Complete trial of an opened study → a bundle: a folder with its library, manifest, samples and programs to run it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from explorer.bundles import manifest as files
from explorer.bundles.header import HEADER, header
from explorer.bundles.manifest import (
    AccuracyPart,
    DevicePart,
    InputPart,
    LatencyPart,
    LibraryPart,
    Manifest,
    OutputPart,
    SamplesPart,
    digest_of,
)
from explorer.bundles.samples import Samples
from explorer.core import plugins
from explorer.core.artifact import Artifact
from explorer.core.configuration import Configuration
from explorer.core.errors import ExplorerError
from explorer.core.measurement.metric import Metric
from explorer.core.measurement.quantities import LATENCY, MEMORY, SIZE
from explorer.core.measurement.sessions import DISTURBED, EMULATED, SESSIONS, Readings
from explorer.core.settings import MeasureSettings
from explorer.line.checking.reference import Reference
from explorer.line.prepared import scale_of
from explorer.line.task import Task
from explorer.processes import pool
from explorer.results.open_study import OpenStudy
from explorer.space.gpu_targets import CUDA, OPENCL
from explorer.workspace.store import Store

TEMPLATES = Path(__file__).parent / "templates"
PACKAGES = ("dlas-explorer", "apache-tvm", "apache-tvm-ffi", "numpy")
LINK_SECONDS = 300  # until a linker that says nothing is given up
LINK = f"mkdir -p objects && tar -xf {files.OBJECTS} -C objects && c++ -shared -fPIC -o {files.SHARED} objects/*.o"
NEEDS: Mapping[str, str] = {
    OPENCL: "libtvm_runtime_opencl.so beside libtvm_runtime.so, which TVM's wheel lacks, and the GPU's OpenCL driver",
    CUDA: "libtvm_runtime_cuda.so beside libtvm_runtime.so, as in TVM's wheel, and NVIDIA's driver and CUDA",
}


def make(opened: OpenStudy, trial: int, out: Path, protocol: MeasureSettings) -> Manifest:
    """Write the bundle of a trial into the folder `out` and return its manifest.

    Parameters
    ----------
    out
        That does not exist yet, or is empty; it appears complete.
    protocol
        The study's, for latencies and tolerances.

    Raises
    ------
    ExplorerError
        If the trial is not complete, is on several devices, or lacks an artifact, or `out` has something in it.
    """
    found = _Found(opened, trial)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ExplorerError(f"'{out}' exists already and is no empty folder; name another one with -o")
    with _draft(out) as draft:
        samples = Samples.of(found.reference, found.taken)
        samples.save(draft)
        manifest = found.manifest(protocol, _library(found, draft), len(samples.pixels))
        (draft / HEADER).write_text(header(manifest), encoding="utf-8")
        for template in sorted(TEMPLATES.iterdir()):
            if template.is_file():
                shutil.copy(template, draft)
        digests = {file.name: digest_of(file) for file in sorted(draft.iterdir())}
        manifest = manifest.model_copy(update={"files": digests})
        files.write(manifest, draft)
    return manifest


class _Found:
    """All that is on record of a complete trial on one device, and its artifacts."""

    def __init__(self, opened: OpenStudy, trial: int) -> None:
        self.opened, self.number = opened, trial
        self.configuration, self.values = _complete(opened, trial)
        self._store = Store(opened.workspace.artifacts)
        self.data, self.build = self._artifact("data"), self._artifact("build")
        placement = json.loads((self._artifact("lower").path / files.PLACEMENT).read_text())
        self.target: dict[str, Any] = placement["target"]
        quantized = self.values["network_key"] != self.values["compress_key"]
        made = "prune" if plugins.is_onnx(self.configuration.model) else "compress"
        network = self._artifact("quantize" if quantized else made, "network_key")
        self.reference = Reference.load(network.path)

    def _artifact(self, stage: str, column: str = "") -> Artifact:
        key = self.values[column or f"{stage}_key"]
        if (artifact := self._store.find(stage, key)) is None:
            what = self._store.damage(stage, key) or f"there is no {self._store.folder(stage, key)}"
            mend = "explorer.evaluate computes the stack's artifacts again"
            raise ExplorerError(f"trial {self.number} lacks its artifact of stage {stage} ({what}); {mend}")
        return artifact

    @property
    def taken(self) -> InputPart:
        """The images that the network takes."""
        channels, height, width = self.data.values["shape"]
        mean, std = (tuple(self.data.values[name]) for name in ("mean", "std"))
        factor, offset = (tuple(map(float, each.ravel())) for each in scale_of(np.array(mean), np.array(std)))
        shape = (self.configuration.batch, channels, height, width)
        return InputPart(shape=shape, dtype="float32", mean=mean, std=std, factor=factor, offset=offset)

    def manifest(self, protocol: MeasureSettings, library: LibraryPart, images: int) -> Manifest:
        """Return the manifest, without the other files."""
        c, values = self.configuration, self.values
        task = Task.of(self.data.values)
        names = tuple(self.data.values["class_names"]) if task.classifies else ()
        answer = self.reference.logits.shape[1:]
        first = self.opened.records.measurements.of(values["measure_key"], c.device)[0]["details"]
        return Manifest(
            format=files.FORMAT,
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            study=self.opened.name,
            trial=self.number,
            stack=c.as_dict(),
            dtype=values["dtype"],
            device=self._device,
            library=library,
            input=self.taken,
            output=OutputPart(shape=(c.batch, *answer), dtype="float32", class_names=names),
            samples=SamplesPart(
                images=images,
                pixels=files.PIXELS,
                expected=files.EXPECTED,
                tolerance=protocol.allowed(c.dtype),
                relative_error=first.get("relative_error"),
            ),
            accuracy=_accuracy(values),
            latency=self._latency(protocol),
            size_bytes=values[str(SIZE)],
            peak_memory_bytes=values[str(MEMORY)],
            versions={
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in PACKAGES},
                "apache-tvm": first["state"]["tvm"],  # which may be an earlier one than is installed now
            },
            files={},
        )

    @property
    def _device(self) -> DevicePart:
        return DevicePart(
            name=self.configuration.device,
            target=self.target,
            threads=self.configuration.threads,
            emulated=bool(self.values.get(EMULATED)),
            needs=NEEDS.get(str(self.target["kind"]), ""),
        )

    def _latency(self, protocol: MeasureSettings) -> LatencyPart:
        c, values, sessions = self.configuration, self.values, self.opened.records.sessions
        interval, place = LATENCY.interval(values), sessions.place(values["measure_key"], c.device)
        return LatencyPart(
            median_ms=interval.value,
            low_ms=interval.low,
            high_ms=interval.high,
            sessions=values[SESSIONS],
            disturbed=values.get(DISTURBED) or "",
            samples=protocol.samples,
            sample_ms=protocol.sample_ms,
            warmup_ms=protocol.warmup_ms,
            usual=(sessions.usual(*place) if place else Readings())._asdict(),
        )


def _complete(opened: OpenStudy, trial: int) -> tuple[Configuration, Mapping[str, Any]]:
    """Return the stack of a trial that can be bundled, and its values on record."""
    row = opened.trial(trial).row
    if row["state"] != "complete":
        why = f"at stage {row['failed_stage']}: {row['failure']}"
        raise ExplorerError(f"trial {trial} is {row['state']} and has no network to bundle ({why})")
    ((_, c, record),) = opened.records.complete(opened.name, [trial])
    if len(c.devices) > 1:
        raise ExplorerError(
            f"trial {trial} is on {c.device}, and a bundle is for one device; bundle a trial of that stack on one"
        )
    if missing := [name for name in ("data_key", "network_key") if name not in record.values]:
        raise ExplorerError(
            f"trial {trial} was put on record without its {missing[0]}, by an earlier explorer; run its space in a new "
            "workspace"
        )
    return c, record.values


def _accuracy(values: Mapping[str, Any]) -> AccuracyPart:
    metric = Metric.of(values)
    interval = metric.quantity.interval(values)
    return AccuracyPart(
        metric=metric.name,
        validation=interval.value,
        low=interval.low,
        high=interval.high,
        validation_images=values["validation_images"],
        test=values[metric.test],
        test_images=values["test_images"],
    )


def _library(found: _Found, draft: Path) -> LibraryPart:
    """Bring the library into the draft: linked for a machine like this one, else as object files."""
    objects = found.build.path / files.OBJECTS
    arguments = {"library": str(objects), "shared": str(draft / files.SHARED), "target": found.target}
    request = {"call": "explorer.bundles.linking:linked", "arguments": arguments}
    with pool.temporary("tvm", "bundle", found.opened.workspace.logs) as worker:
        if worker.request(request, LINK_SECONDS):
            return LibraryPart(file=files.SHARED, link=None)
    shutil.copy(objects, draft)
    return LibraryPart(file=files.OBJECTS, link=LINK)


@contextlib.contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """Give a folder to write into, which becomes `out` if all goes well."""
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        yield draft
        draft.chmod(0o755)
        draft.rename(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
