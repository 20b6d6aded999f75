"""The best algorithm for every layer: no kernel of its own but a choice among the others, by `dlas_ops.selection`."""

from __future__ import annotations

# Chosen by measuring before lowering; an algorithm without this literal has kernels of its own.
SELECTS = True
FORMATS = ("dense", "csr")
GPU_FORMATS = ("dense", "csr")
DTYPES = ("float32", "float16", "bfloat16", "int8")
