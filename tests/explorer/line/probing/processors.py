"""Texts of /proc/cpuinfo on real processors, of the first core."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from explorer.line.probing.answers import Description
from explorer.line.probing.self_description import parsed

ARM = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: {flags}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part}
CPU revision\t: 3

"""
X86 = """processor\t: 0
vendor_id\t: {vendor}
cpu family\t: {family}
model\t\t: 1
model name\t: {name}
stepping\t: 1
microcode\t: 0x1000065
cpu MHz\t\t: 2596.126
flags\t\t: {flags}
bugs\t\t: sysret_ss_attrs spectre_v1 spectre_v2 spec_store_bypass
bogomips\t: 5192.25

"""
# A Raspberry Pi 4, whose processor lacks AES, and a Raspberry Pi 5.
CORTEX_A72 = ARM.format(part="0xd08", flags="fp asimd evtstrm crc32 cpuid")
CORTEX_A76 = ARM.format(
    part="0xd0b",
    flags="fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
)
RK3399 = ARM.format(part="0xd03", flags="fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid") + ARM.format(
    part="0xd08", flags="fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
).replace("processor\t: 0", "processor\t: 4")

_COMMON = (
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx "
    "rdtscp lm constant_tsc rep_good nopl cpuid pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx "
    "f16c rdrand lahf_lm abm 3dnowprefetch fsgsbase bmi1 avx2 smep bmi2 erms invpcid rdseed adx smap clflushopt "
    "xsaveopt xsavec xgetbv1"
)
_AVX512 = (
    "avx512f avx512dq avx512ifma avx512cd avx512bw avx512vl avx512_bf16 avx512vbmi avx512_vbmi2 gfni vaes vpclmulqdq "
    "avx512_vnni avx512_bitalg avx512_vpopcntdq"
)
SKYLAKE = X86.format(
    vendor="GenuineIntel", family=6, name="Intel(R) Core(TM) i7-6700 CPU @ 3.40GHz", flags=f"{_COMMON} mpx hle rtm"
)
ZEN3 = X86.format(
    vendor="AuthenticAMD", family=25, name="AMD EPYC 7763 64-Core Processor", flags=f"{_COMMON} sse4a clzero vaes"
)
ZEN4 = X86.format(
    vendor="AuthenticAMD", family=25, name="AMD EPYC 9654 96-Core Processor", flags=f"{_COMMON} sse4a clzero {_AVX512}"
)


def files(cpuinfo: str, **others: str) -> Callable[[str], str]:
    """Return what reads /proc/cpuinfo and the other files, whose names are keys with `__` for each slash."""
    known: Mapping[str, str] = {
        "/proc/cpuinfo": cpuinfo,
        "/proc/sys/kernel/osrelease": "6.6.31+rpt-rpi-v8\n",
        **{name.replace("__", "/"): text for name, text in others.items()},
    }
    return lambda path: known.get(path, "")


def described(cpuinfo: str, mcpu: str | None = None, kernel: str = "6.6.31\n") -> Description:
    """Return how a device with that /proc/cpuinfo describes itself, whose server names its processor `mcpu`."""
    architecture = "aarch64" if "CPU part" in cpuinfo else "x86_64"
    return parsed(files(cpuinfo, __proc__sys__kernel__osrelease=kernel), architecture, mcpu)
