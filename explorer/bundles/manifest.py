"""Folder of a bundle → what is on record of its network and the digest of every file, read and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from explorer.core.errors import ExplorerError
from explorer.space.gpu_targets import is_gpu

FORMAT = 1  # raised whenever an earlier explorer could not read what is written
MANIFEST = "manifest.json"
SHARED, OBJECTS = "network.so", "network.tar"
PIXELS, EXPECTED = "pixels.npy", "expected.npy"
PLACEMENT = "placement.json"  # in a lower artifact; explorer.line.checking.first_wrong_layer, which has it, imports TVM


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DevicePart(_Part):
    """The device that the network was measured on.

    Attributes
    ----------
    name : of its entry in the devices file
    target : as TVM takes it
    threads : that the network was measured on; TVM takes the number from the variable TVM_NUM_THREADS
    emulated : whether it was none that one can buy
    needs : beside TVM's runtime, in one sentence; empty for a processor
    """

    name: str
    target: dict[str, Any]
    threads: int
    emulated: bool
    needs: str


class LibraryPart(_Part):
    """The compiled network: a shared library, or object files and the command that links them on the device."""

    file: str
    link: str | None


class InputPart(_Part):
    """The images that the network takes.

    Attributes
    ----------
    shape : images at once, channels, height and width
    mean, std : per channel of the training pixels, in [0, 1]
    factor, offset : per channel: an 8-bit pixel p is the input p * factor - offset, in float32
    """

    shape: tuple[int, int, int, int]
    dtype: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    factor: tuple[float, ...]
    offset: tuple[float, ...]


class OutputPart(_Part):
    """The outputs of the network for each image: of a classifier logits, and the class is the index of the largest.

    Attributes
    ----------
    class_names : empty unless each image has one class
    """

    shape: tuple[int, ...]
    dtype: str
    class_names: tuple[str, ...]


class SamplesPart(_Part):
    """Test images in 8 bits, and the outputs expected of them.

    Attributes
    ----------
    tolerance : how far outputs may lie from the expected ones, as a share of the largest of those
    relative_error : how far they lay when the network was first measured; None where that is not on record
    """

    images: int
    pixels: str
    expected: str
    tolerance: float
    relative_error: float | None


class AccuracyPart(_Part):
    """Shares of the images that the compiled network puts into their class, with the 95 % interval of the first.

    Attributes
    ----------
    metric : "accuracy", or the name of the study's metric, whose values these are then
    """

    metric: str = "accuracy"
    validation: float
    low: float
    high: float
    validation_images: int
    test: float
    test_images: int


class LatencyPart(_Part):
    """The time of one run, on all images at once.

    Attributes
    ----------
    median_ms, low_ms, high_ms : the median of the sessions, with its 95 % interval
    sessions : that count
    disturbed : why none of them was quiet; empty for a good latency
    samples, sample_ms, warmup_ms : the protocol of a session; see `explorer.core.settings.MeasureSettings`
    usual : the control's readings that sessions on the device are held against; see
        `explorer.core.measurement.sessions.Readings`
    """

    median_ms: float
    low_ms: float
    high_ms: float
    sessions: int
    disturbed: str
    samples: int
    sample_ms: float
    warmup_ms: float
    usual: dict[str, float | None]


class Manifest(_Part):
    """All that a bundle says of its network.

    Attributes
    ----------
    format : of the manifest itself
    made : when, in UTC
    study, trial : that the network comes from
    stack : axis → choice
    dtype : that the network's weights are stored in
    size_bytes : object code and weights
    peak_memory_bytes : held while the network runs
    versions : package → version, of those that compiled and measured
    files : name of every other file → its SHA-256
    """

    format: int
    made: str
    study: str
    trial: int
    stack: dict[str, str | int | float | None]
    dtype: str
    device: DevicePart
    library: LibraryPart
    input: InputPart
    output: OutputPart
    samples: SamplesPart
    accuracy: AccuracyPart
    latency: LatencyPart
    size_bytes: int
    peak_memory_bytes: int
    versions: dict[str, str]
    files: dict[str, str]

    @property
    def kind(self) -> str:
        """The kind of the target: ``"llvm"`` for a processor, else that of a GPU."""
        return str(self.device.target["kind"])

    @property
    def on_gpu(self) -> bool:
        """Whether the network runs on a GPU."""
        return is_gpu(self.device.target)


def write(manifest: Manifest, folder: Path) -> None:
    """Write ``manifest.json``, with a digest of its own content, into the folder of a bundle."""
    content = manifest.model_dump(mode="json")
    (folder / MANIFEST).write_text(json.dumps({**content, "digest": _digest(content)}, indent=1) + "\n")


def read(folder: Path) -> Manifest:
    """Return the manifest of the bundle in `folder`, with every file of it checked.

    Raises
    ------
    ExplorerError
        If there is no bundle, a later explorer has made it, or a file of it is gone or is not what was written.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ExplorerError(f"no bundle in '{folder}': it lacks {MANIFEST}; 'dlas bundle TRIAL -o DIR' makes one")
    try:
        content = dict(json.loads(path.read_bytes()))
        digest = content.pop("digest")
    except (ValueError, TypeError, KeyError):
        raise _changed(path) from None
    if content.get("format") != FORMAT and digest == _digest(content):
        raise ExplorerError(f"{path} has format {content.get('format')}, and this explorer reads format {FORMAT}")
    if digest != _digest(content):
        raise _changed(path)
    try:
        manifest = Manifest.model_validate(content)
    except ValidationError:
        raise _changed(path) from None
    for name, expected in manifest.files.items():
        if not (folder / name).is_file():
            raise ExplorerError(f"{folder / name} is missing, which {MANIFEST} lists; make the bundle again")
        if digest_of(folder / name) != expected:
            raise _changed(folder / name)
    return manifest


def digest_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _changed(path: Path) -> ExplorerError:
    return ExplorerError(f"{path} is not what was written: its digest differs; make the bundle again")
