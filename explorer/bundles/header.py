"""Manifest → ``bundle.h``, the part of it that the example in C++ is compiled with."""

from __future__ import annotations

import json
from collections.abc import Iterable

from explorer.bundles.manifest import Manifest
from explorer.space.gpu_targets import CPU, CUDA, OPENCL

HEADER = "bundle.h"
DEVICES = {CPU: "kDLCPU", OPENCL: "kDLOpenCL", CUDA: "kDLCUDA"}  # kind of a target → DLPack's name of the device
TEXT = """// What the example needs to know of this network; `manifest.json` says what each value is.
#pragma once

#include <dlpack/dlpack.h>

#include <cstdint>
#include <vector>

namespace bundle {{

constexpr DLDeviceType DEVICE = {device};
constexpr const char* BACKEND = "{backend}";  // a part of TVM's runtime to load first, for a GPU
constexpr int THREADS = {threads};
constexpr std::int64_t SHAPE[] = {{{shape}}};  // images at once, channels, height, width
constexpr float FACTOR[] = {{{factor}}};  // an 8-bit pixel p of channel c is p * FACTOR[c] - OFFSET[c]
constexpr float OFFSET[] = {{{offset}}};
constexpr float TOLERANCE = {tolerance};  // share of the largest expected output
inline const std::vector<const char*> CLASSES = {{{classes}}};  // empty unless each image has one class

}}  // namespace bundle
"""


def header(manifest: Manifest) -> str:
    """Return the text of the header."""
    return TEXT.format(
        device=DEVICES[manifest.kind],
        backend=f"libtvm_runtime_{manifest.kind}.so" if manifest.on_gpu else "",
        threads=manifest.device.threads,
        shape=", ".join(map(str, manifest.input.shape)),
        factor=_floats(manifest.input.factor),
        offset=_floats(manifest.input.offset),
        tolerance=_floats([manifest.samples.tolerance]),
        classes=", ".join(json.dumps(name, ensure_ascii=False) for name in manifest.output.class_names),
    )


def _floats(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number!r}f" for number in numbers)
