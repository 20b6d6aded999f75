"""Instruction sets that code for a target may use, as LLVM has it, by the names of /proc/cpuinfo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dlas_ops._tvm import tvm
from dlas_ops.processor import instruction_sets
from dlas_ops.processor.targets import native_target

ARM = {"mtriple": "aarch64-linux-gnu"}
X86 = {"mtriple": "x86_64-linux-gnu"}


def target(**fields: Any) -> Any:
    return tvm.target.Target({"kind": "llvm", **fields})


@pytest.mark.parametrize(
    ("triple", "architecture"),
    [
        ("x86_64-conda-linux-gnu", "x86_64"),
        ("amd64-unknown-freebsd", "x86_64"),
        ("aarch64-linux-gnu", "aarch64"),
        ("arm64-apple-darwin", "aarch64"),
        ("armv7l-linux-gnueabihf", "arm"),
        ("riscv64-linux-gnu", "riscv64"),
    ],
)
def test_the_architecture_of_a_triple(triple: str, architecture: str) -> None:
    assert instruction_sets.architecture_of(triple) == architecture
    assert instruction_sets.architecture(target(mtriple=triple)) == architecture


@pytest.mark.parametrize(
    ("fields", "needs", "does_not"),
    [
        (X86, set(), {"avx"}),
        ({**X86, "mcpu": "x86-64-v3"}, {"avx2", "fma", "f16c"}, {"avx512f"}),
        ({**X86, "mcpu": "znver4"}, {"avx512f", "avx512_vnni", "avx512_bf16"}, {"avx512_fp16", "amx_tile"}),
        ({**X86, "mcpu": "sapphirerapids"}, {"avx512_fp16", "amx_tile", "amx_int8", "avx_vnni"}, set()),
        ({**X86, "mcpu": "znver4", "mattr": ["-avx512f"]}, {"avx2"}, {"avx512f", "avx512_vnni"}),
        ({**ARM, "mcpu": "cortex-a72"}, {"asimd"}, {"asimddp", "asimdhp", "sve"}),
        ({**ARM, "mcpu": "cortex-a76"}, {"asimddp", "asimdhp", "atomics"}, {"i8mm", "sve"}),
        ({**ARM, "mcpu": "neoverse-v1"}, {"i8mm", "bf16", "sve"}, {"sve2"}),
        ({"mtriple": "riscv64-linux-gnu"}, set(), set()),
    ],
)
def test_what_code_for_a_target_may_use(fields: dict[str, Any], needs: set[str], does_not: set[str]) -> None:
    found = instruction_sets.needed(target(**fields))
    assert needs <= found
    assert not does_not & found
    assert found <= instruction_sets.names(instruction_sets.architecture(target(**fields)))


@pytest.mark.parametrize("architecture", instruction_sets.BASELINES)
def test_every_processor_runs_the_code_of_the_baseline(architecture: str) -> None:
    baseline = tvm.target.Target(dict(instruction_sets.BASELINES[architecture]))
    assert instruction_sets.needed(baseline) <= {"asimd"}
    assert instruction_sets.architecture(baseline) == architecture


def test_what_an_attribute_needs_by_itself() -> None:
    both = target(**X86, mcpu="znver4", mattr=["+amx-int8"])
    assert instruction_sets.needed_of(both, "+amx-int8") == {"amx_int8", "amx_tile"}
    assert instruction_sets.needed_of(both, "-avx2") == set()
    assert instruction_sets.needed(instruction_sets.without_attributes(both)) == instruction_sets.needed(
        target(**X86, mcpu="znver4")
    )


@pytest.mark.parametrize("llvm", ["avx512vnni", "amx-bf16"])
def test_attributes_that_llvm_knows(llvm: str) -> None:
    assert not instruction_sets.unknown_attribute(target(**X86), f"+{llvm}")
    assert not instruction_sets.unknown_attribute(target(**X86), f"-{llvm}")
    assert instruction_sets.unknown_attribute(target(**ARM), f"+{llvm}")


def test_every_feature_of_the_tables_is_one_of_llvms() -> None:
    for architecture, known in instruction_sets._NAMES.items():
        plain = tvm.target.Target(dict(instruction_sets.BASELINES[architecture]))
        assert [llvm for llvm in known if instruction_sets.unknown_attribute(plain, f"+{llvm}")] == []
    assert set(instruction_sets.SINCE) <= instruction_sets.names("x86_64") | instruction_sets.names("aarch64")


def test_this_machine_has_what_code_for_it_needs() -> None:
    words = set(Path("/proc/cpuinfo").read_text().split())
    assert instruction_sets.needed(tvm.target.Target(native_target())) <= words


def test_what_is_offered_beyond_the_needs_of_a_target_as_attributes() -> None:
    assert instruction_sets.attributes(target(**ARM), ("asimd", "asimddp", "asimdhp", "crc32")) == [
        "+dotprod",
        "+fullfp16",
    ]
    assert instruction_sets.attributes(target(**X86, mcpu="znver3"), ("avx2", "fma")) == []


def test_what_a_target_is_without() -> None:
    sapphire = target(**X86, mcpu="sapphirerapids")
    everything = instruction_sets.needed(sapphire)
    assert instruction_sets.without(sapphire, []) == []
    hidden = instruction_sets.without(sapphire, {"amx_tile", "amx_int8", "amx_bf16"})
    assert hidden == ["-amx-bf16", "-amx-int8", "-amx-tile"]
    assert instruction_sets.needed(target(**X86, mcpu="sapphirerapids", mattr=hidden)) == everything - {
        "amx_tile", "amx_int8", "amx_bf16",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2\n\nprocessor\t: 1\nflags\t\t: fpu\n", {"fpu", "avx2"}),
        ("processor\t: 0\nFeatures\t: fp asimd\n", {"fp", "asimd"}),
        ("processor\t: 0\n", None),
    ],
)
def test_linux_says_what_this_machine_offers(content: str, expected: set[str] | None, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(content)
    assert instruction_sets.offered_here(tmp_path / "cpuinfo") == expected
    assert instruction_sets.offered_here(tmp_path / "none") is None


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("6.1.0", {"amx_tile", "avx2"}),
        ("5.4.0-150", {"avx2"}),
        ("odd", {"amx_tile", "avx2"}),
        (None, {"amx_tile", "avx2"}),
    ],
)
def test_what_a_kernel_would_not_name_is_not_lacking(kernel: str | None, expected: set[str]) -> None:
    assert instruction_sets.lacking({"amx_tile", "avx2", "fma"}, {"fma"}, kernel) == expected
