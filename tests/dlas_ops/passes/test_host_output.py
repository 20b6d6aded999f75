"""Outputs of a network for a GPU: in the host's memory, and those of the network without the pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlas_ops._tvm import tvm
from dlas_ops.passes.host_output import TO_DEVICE, output_on_host
from dlas_ops.processor.targets import native_target

relax = tvm.relax
SHAPE = (2, 3)


def network(outputs: int) -> Any:
    """Return a network that gives its input plus 1, plus 2, and so on."""
    builder = relax.BlockBuilder()
    image = relax.Var("image", relax.TensorType(SHAPE, "float32"))
    with builder.function("main", [image]):
        sums = [builder.emit(relax.op.add(image, relax.const(float(i + 1)))) for i in range(outputs)]
        builder.emit_func_output(sums[0] if outputs == 1 else relax.Tuple(sums))
    return builder.get()


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_outputs_are_copied_and_stay_what_they_are(outputs: int) -> None:
    changed = output_on_host(network(outputs))
    assert relax.analysis.check_well_formed(changed)
    assert str(changed["main"]).count(TO_DEVICE) == outputs
    image = np.arange(6, dtype=np.float32).reshape(SHAPE)
    machine = relax.VirtualMachine(tvm.compile(changed, tvm.target.Target(native_target())), tvm.cpu())
    found = machine["main"](tvm.runtime.tensor(image))
    for index, output in enumerate([found] if outputs == 1 else found):
        assert output.device.dlpack_device_type() == tvm.cpu().dlpack_device_type()
        assert np.array_equal(output.numpy(), image + index + 1)
