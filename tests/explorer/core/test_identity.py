"""Identity: the key of a device's latencies, and what tells two devices apart in a sentence."""

from __future__ import annotations

from explorer.core.identity import Identity

TARGET = {"kind": "llvm", "mcpu": "haswell", "num-cores": 1}
FACTS: dict[str, object] = {
    "target": TARGET,
    "cores": [0],
    "processor": "AMD EPYC 9R14",
    "architecture": "x86_64",
    "instruction_sets": ["avx", "avx2", "fma"],
}


def changed(**facts: object) -> Identity:
    return Identity({name: value for name, value in {**FACTS, **facts}.items() if value is not None})


def test_an_identity_is_its_facts_whatever_their_order() -> None:
    assert Identity(dict(reversed(FACTS.items()))).key == Identity(FACTS).key
    others = [
        changed(cores=[1]), changed(cores=None), changed(processor="AMD EPYC 7R13"),
        changed(target={**TARGET, "mcpu": "x86-64"}), changed(instruction_sets=["avx"]),
    ]  # fmt: skip
    assert len({Identity(FACTS).key, *(each.key for each in others)}) == 1 + len(others)


def test_what_is_another_is_named_with_what_it_was() -> None:
    before = Identity(FACTS)
    assert changed(cores=[1]).differences(before) == "cores is 1, not 0"
    assert changed(cores=None).differences(before) == "cores is not given, not 0"
    mixed = changed(target={"kind": "llvm", "mcpu": "x86-64", "num-cores": 1}, processor="AMD EPYC 7R13")
    assert mixed.differences(before) == (
        "processor is AMD EPYC 7R13, not AMD EPYC 9R14; target.mcpu is x86-64, not haswell"
    )
    sets = ["avx", *(f"avx512{name}" for name in ("bw", "cd", "dq", "f", "vl"))]
    assert changed(instruction_sets=sets).differences(before) == (
        "it has avx512bw, avx512cd, avx512dq, avx512f, 1 more, it lacks avx2, fma"
    )


def test_a_device_is_named_by_its_gpu_its_processor_or_what_else_it_says() -> None:
    assert str(Identity(FACTS)) == "AMD EPYC 9R14, code for haswell, cores 0"
    assert str(changed(gpu={"name": "Mali-G52"}, target={"kind": "opencl"}, cores=None)) == "Mali-G52, code for opencl"
    assert str(changed(processor=None, cores=None)) == "x86_64, code for haswell"
