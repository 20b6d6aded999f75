"""Manifest of a bundle that was made → what the user is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from explorer.bundles.manifest import SHARED, Manifest


def lines(manifest: Manifest, folder: Path) -> Iterator[str]:
    """Yield what the folder has, what is on record of its network, and what to type next."""
    library, own, latency = manifest.library, manifest.device, manifest.latency
    size = sum((folder / name).stat().st_size for name in manifest.files)
    emulated = " (emulated)" if own.emulated else ""
    yield f"Trial {manifest.trial} of study '{manifest.study}' is in {folder}: {len(manifest.files) + 1} files, " + (
        f"{size / 1e6:.2f} MB, {(folder / library.file).stat().st_size / 1e6:.2f} MB of them {library.file}."
    )
    reached = f"{manifest.accuracy.validation:.2%} of the validation images are put into their class"
    if manifest.accuracy.metric != "accuracy":
        reached = f"{manifest.accuracy.metric} is {manifest.accuracy.validation:.4g} on the validation images"
    yield (
        f"On {own.name}{emulated} it takes {latency.median_ms:.3f} ms (95 % interval {latency.low_ms:.3f} to "
        f"{latency.high_ms:.3f}) on {own.threads} threads; {reached}."
    )
    if library.link:
        yield f"{library.file} has object files: link them on the device, in the folder, with 'make {SHARED}'."
    if own.needs:
        yield f"It needs {own.needs}."
    yield f"Run it with 'python {folder / 'run.py'}', verify it with 'dlas verify {folder}'."
