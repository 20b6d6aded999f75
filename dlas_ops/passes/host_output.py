"""Network for a GPU → the same, but its outputs arrive in the host's memory, and so it has ended when it returns.

A GPU computes on after the host's call has returned. TVM's timer for OpenCL sums the times of single kernels, so that
what passes between them, and on the host, is in no latency. With the outputs on the host any clock there tells when a
network has ended.
"""

from __future__ import annotations

from typing import Any

from dlas_ops._tvm import tvm
from dlas_ops._types import IRModule

relax, tirx = tvm.relax, tvm.tirx

TO_DEVICE = "vm.builtin.to_device"
CPU, FIRST = tirx.IntImm("int64", 1), tirx.IntImm("int64", 0)  # kind and number of a device, as DLPack has them


def output_on_host(module: IRModule) -> IRModule:
    """Return `module`, whose function ``main`` is the network, with the outputs of that copied to the host's memory."""
    main = module["main"]
    outputs, of = main.body.body, main.ret_ty
    bindings = list[Any]()

    def bound(name: str, value: Any, type_: Any) -> Any:
        variable = relax.Var(name, type_)
        bindings.append(relax.VarBinding(variable, value))
        return variable

    def copied(value: Any, type_: Any) -> Any:
        call = relax.op.call_pure_packed(TO_DEVICE, value, CPU, FIRST, ty_args=type_)
        return bound("on_host", call, type_)

    if isinstance(of, relax.TupleType):
        fields = [bound("output", relax.TupleGetItem(outputs, i), field) for i, field in enumerate(of.fields)]
        copies = [copied(field, type_) for field, type_ in zip(fields, of.fields, strict=True)]
        last = bound("on_host", relax.Tuple(copies), of)
    else:
        last = copied(outputs, of)
    body = relax.SeqExpr([*main.body.blocks, relax.BindingBlock(bindings)], last)
    changed = relax.Function(main.params, body, of, main.is_pure, main.attrs)
    functions = {**dict(module.functions.items()), module.get_global_var("main"): changed}
    return relax.transform.Normalize()(tvm.IRModule(functions, global_infos=module.global_infos))
