"""Whole networks on this machine's first OpenCL device through every stage of a study, over a real loopback server.

The models are the project's own for photographs of 32 x 32 and 224 x 224. Each is trained once, then compiled for the
device by every algorithm, in every type and format that it runs there, compared with the reference and timed. It takes
up to ten minutes per network on two cores, nearly all of it in PoCL's compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import explorer
from tests import data_sets, opencl, studies

if TYPE_CHECKING:
    import pandas as pd

pytestmark = [opencl.needed, pytest.mark.nightly, pytest.mark.timeout(3600)]

NETWORKS = [("resnet18", 32), ("mobilenetv2", 32), ("vgg16", 32), ("efficientnet_b0", 224)]
GPU = '[gpu]\ntarget = { kind = "opencl", device = "pocl" }\n'
ALGORITHMS = "direct", "gemm", "spatial_pack"
SELECTED = "mobilenetv2"  # has auto, which is made of the others and takes as long as all of them together
WINOGRAD = ("resnet18", "mobilenetv2", "vgg16")  # have ungrouped 3x3 convolutions of stride 1
ONCE = {"sessions": 1, "most_sessions": 1}
# How far outputs may lie from the reference, as a share of its range; Winograd's transforms lose digits.
ALLOWED = {"float32": 1e-3, "float16": 0.05, "int8": 0.05}


def algorithms_of(model: str) -> tuple[str, ...]:
    return (*ALGORITHMS, "auto") if model == SELECTED else ALGORITHMS


def axes(model: str) -> dict[str, tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Return study → its algorithms and other axes: in float16 only where the device has it."""
    narrow = ["float16"] if "cl_khr_fp16" in opencl.extensions() else []
    in_float32 = ("winograd",) if model in WINOGRAD else ()
    return {
        "dense": ((*algorithms_of(model), *in_float32), {"compression": ["none", *narrow, "int8"], "ratio": None}),
        "csr": (("direct", "gemm"), {"compression": "weight_pruning", "ratio": 0.5, "format": "csr"}),
    }


def ran(folder: Path, model: str, size: int) -> pd.DataFrame:
    """Return one row per trial of both studies of a model, with ``error``: how far outputs lie from the reference."""
    import pandas as pd

    photos, workspace, found = data_sets.tree(folder / "photos"), folder / "workspace", []
    (folder / "devices.toml").write_text(GPU)
    data = {"image_folder": str(photos), "image_size": size}
    for study, (algorithms, own) in axes(model).items():
        choices = {**own, "dataset": "image_folder", "width": 1.0, "threads": 1, "device": "gpu"}
        space = studies.write_space(folder, study, [model], algorithms, axes=choices, data=data, measure=ONCE)
        events = studies.Events()
        studies.run(space, workspace, events)
        with explorer.open(workspace, study) as opened:
            rows = opened.frame
            measured = [opened.records.measurements.of(str(key), "gpu") for key in rows["measure_key"]]
            errors = [sessions[0]["details"].get("relative_error") if sessions else None for sessions in measured]
            found.append(rows.assign(error=pd.Series(errors, rows.index, dtype=float)))
    return pd.concat(found, ignore_index=True)


@pytest.mark.parametrize(("model", "size"), NETWORKS)
def test_every_algorithm_computes_what_the_reference_does(model: str, size: int, tmp_path: Path) -> None:
    found = ran(tmp_path, model, size)
    print(found[["compression", "algorithm", "format", "dtype", "error", "latency_ms", "first_ms"]].to_string())
    assert set(found["state"]) == {"complete"}, found["failure"].dropna().to_list()
    dtypes = sorted({"float32", "int8", *(["float16"] if "cl_khr_fp16" in opencl.extensions() else [])})
    kinds = {("dense", dtype, algorithm) for dtype in dtypes for algorithm in algorithms_of(model)}
    kinds |= {("csr", "float32", "direct"), ("csr", "float32", "gemm")}
    kinds |= {("dense", "float32", "winograd")} if model in WINOGRAD else set()
    assert {*zip(found["format"], found["dtype"], found["algorithm"], strict=True)} == kinds
    assert (found["convolutions_as_asked"] > 0).all()
    assert (found["error"] <= found["dtype"].map(ALLOWED)).all()
