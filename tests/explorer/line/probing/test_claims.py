"""Targets against what real processors say of themselves: what fits is not refused, what does not is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from explorer.line.probing.answers import Description
from explorer.line.probing.claims import refusal
from tests.explorer.line.probing.processors import CORTEX_A72, CORTEX_A76, SKYLAKE, ZEN3, ZEN4, described

ARM = {"kind": "llvm", "mtriple": "aarch64-linux-gnu"}
X86 = {"kind": "llvm", "mtriple": "x86_64-linux-gnu"}
A72, A76 = described(CORTEX_A72), described(CORTEX_A76)
SKY, ZEN_3, ZEN_4 = described(SKYLAKE, "skylake"), described(ZEN3, "znver3"), described(ZEN4, "znver4")


def refused(target: Mapping[str, Any], says: Description) -> str:
    return refusal("board", target, target, says)


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ({**ARM, "mcpu": "cortex-a72"}, A72),
        (ARM, A72),
        ({**ARM, "mcpu": "cortex-a53"}, A72),
        ({**ARM, "mcpu": "cortex-a72"}, A76),
        ({**ARM, "mcpu": "cortex-a76", "num-cores": 4}, A76),
        ({**ARM, "mattr": ["+dotprod", "+fullfp16"]}, A76),
        ({**ARM, "mattr": ["+dotprod,+fullfp16"]}, A76),
        ({**X86, "mcpu": "skylake"}, SKY),
        ({**X86, "mcpu": "x86-64-v3"}, SKY),
        ({**X86, "mcpu": "znver3"}, ZEN_3),
        ({**X86, "mcpu": "znver4"}, ZEN_4),
        ({**X86, "mcpu": "x86-64-v4", "mattr": ["+avx512vnni"]}, ZEN_4),
        ({**X86, "mcpu": "x86-64-v4", "mattr": ["-avx512f"]}, ZEN_3),
        ({**X86, "mcpu": "x86-64-v4"}, Description()),
        ({**X86, "mcpu": "x86-64-v4"}, Description("x86_64", "unread")),
        ({"kind": "llvm", "mtriple": "riscv64-linux-gnu"}, Description("riscv64")),
    ],
)
def test_what_fits_and_what_cannot_be_told_is_not_refused(target: Mapping[str, Any], says: Description) -> None:
    assert refused(target, says) == ""


@pytest.mark.parametrize(
    ("target", "says", "message"),
    [
        (
            {**X86, "mcpu": "x86-64-v4"},
            ZEN_3,
            "device 'board' is AMD EPYC 7763 64-Core Processor (x86_64), which lacks avx512bw, avx512cd, avx512dq, "
            "avx512f, avx512vl, and its target's mcpu 'x86-64-v4' needs that; give it a target with mcpu = \"znver3\"",
        ),
        (
            {**X86, "mcpu": "znver4"},
            SKY,
            "device 'board' is Intel(R) Core(TM) i7-6700 CPU @ 3.40GHz (x86_64), which lacks avx512_bf16, "
            "avx512_bitalg, avx512_vbmi2, avx512_vnni, avx512_vpopcntdq, avx512bw and 7 more, and its target's mcpu "
            "'znver4' needs that; give it a target with mcpu = \"skylake\"",
        ),
        (
            {**X86, "mcpu": "znver3", "mattr": ["+avx512vnni"]},
            ZEN_3,
            "device 'board' is AMD EPYC 7763 64-Core Processor (x86_64), which lacks avx512_vnni, avx512f, and its "
            "target's mattr '+avx512vnni' needs that; take it out of the target",
        ),
        (
            {**X86, "mcpu": "sapphirerapids"},
            ZEN_4,
            "device 'board' is AMD EPYC 9654 96-Core Processor (x86_64), which lacks amx_bf16, amx_int8, amx_tile, "
            "avx512_fp16, avx_vnni, and its target's mcpu 'sapphirerapids' needs that; give it a target with "
            'mcpu = "znver4"',
        ),
        (
            {**ARM, "mcpu": "cortex-a76"},
            A72,
            "device 'board' is cortex-a72 (aarch64), which lacks asimddp, asimdhp, asimdrdm, atomics, and its target's "
            "mcpu 'cortex-a76' needs that; give it a target with mcpu = \"cortex-a72\"",
        ),
        (
            {**ARM, "mcpu": "cortex-a72", "mattr": ["+neon", "+dotprod"]},
            A72,
            "device 'board' is cortex-a72 (aarch64), which lacks asimddp, and its target's mattr '+dotprod' needs "
            "that; take it out of the target",
        ),
        (
            {**ARM, "mcpu": "cortex-a76", "mattr": ["+sve"]},
            A76,
            "device 'board' is cortex-a76 (aarch64), which lacks sve, and its target's mattr '+sve' needs that; take "
            "it out of the target",
        ),
        (
            {**X86, "mcpu": "znver3"},
            A72,
            "device 'board' is cortex-a72 (aarch64), and its target is for x86_64 (mtriple 'x86_64-linux-gnu', mcpu "
            '\'znver3\'); give it a target with mtriple = "aarch64-linux-gnu" and mcpu = "cortex-a72"',
        ),
        (
            X86,
            Description("arm", mcpu="cortex-a7"),
            "device 'board' is cortex-a7 (arm), and its target is for x86_64 (mtriple 'x86_64-linux-gnu'); give it a "
            'target with mtriple = "arm-linux-gnueabihf" and mcpu = "cortex-a7"',
        ),
        (
            {**X86, "mcpu": "znver9"},
            ZEN_3,
            "the target of device 'board': mcpu 'znver9' is unknown to LLVM for x86_64; did you mean 'znver5'?",
        ),
        ({**X86, "mcpu": "qqq"}, ZEN_3, "the target of device 'board': mcpu 'qqq' is unknown to LLVM for x86_64"),
        (
            {**X86, "mcpu": "cortex-a72"},
            A72,
            "the target of device 'board': mcpu 'cortex-a72' is a processor of aarch64, and the target is for x86_64; "
            'give it mtriple = "aarch64-linux-gnu"',
        ),
        (
            {**ARM, "mattr": ["+neon,+fp16"]},
            A72,
            "the target of device 'board': LLVM knows no mattr '+fp16' for aarch64",
        ),
    ],
)
def test_what_does_not_fit_is_named_in_a_sentence(target: Mapping[str, Any], says: Description, message: str) -> None:
    assert refused(target, says) == message


def test_the_target_of_the_machine_that_compiles_is_called_so() -> None:
    own = {**X86, "mcpu": "znver4"}
    assert refusal("board", "native", own, ZEN_4) == ""
    assert refusal("board", "native", own, A72) == (
        "device 'board' is cortex-a72 (aarch64), and its target is native, which is mcpu 'znver4' of the machine that "
        'compiles; give it a target with mtriple = "aarch64-linux-gnu" and mcpu = "cortex-a72"'
    )
    message = refusal("board", "native", own, ZEN_3)
    assert ", and its target is native, which is mcpu 'znver4' of the machine that compiles and needs that; " in message


def test_where_a_host_hides_instructions_a_processor_without_them_is_offered() -> None:
    hidden = described(ZEN3, "znver4")  # LLVM takes the name from the model's number
    assert refused({**X86, "mcpu": "znver4"}, hidden).endswith('give it a target with mcpu = "x86-64-v3"')
    bare = Description("aarch64", instruction_sets=("asimd",), mcpu="unheard-of")
    assert refused({**ARM, "mcpu": "cortex-a76"}, bare).endswith('give it a target with mcpu = "generic"')


@pytest.mark.parametrize(
    ("kernel", "judged"), [("5.1.0", False), ("5.10.0-28-amd64", False), ("5.16.0", True), ("unread", True)]
)
def test_a_kernel_too_old_to_name_an_instruction_set_does_not_speak_against_it(kernel: str, judged: bool) -> None:
    says = described(ZEN4, kernel=f"{kernel}\n")
    assert ("lacks amx_tile" in refused({**X86, "mcpu": "znver4", "mattr": ["+amx-tile"]}, says)) == judged
