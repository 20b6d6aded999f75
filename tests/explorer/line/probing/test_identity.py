"""The facts of a device: those that every session finds, of what it says of itself."""

from __future__ import annotations

from dataclasses import replace

from explorer.line.probing.answers import Gpu
from explorer.line.probing.identity import facts
from tests.explorer.line.probing.processors import CORTEX_A72, ZEN3, ZEN4, described


def test_what_changes_between_sessions_is_no_part_of_it() -> None:
    says = described(ZEN3)
    later = replace(
        says, free_bytes=1, temperature_c=90.0, governor="powersave", kernel="6.9.0", memory_bytes=7, cores=1,
        instruction_sets=(*(says.instruction_sets or ()), "made_up_by_linux"),
    )  # fmt: skip
    assert facts(later, None) == facts(says, None)


def test_models_differ_and_so_do_kinds_of_cores() -> None:
    found = [facts(described(cpuinfo), None) for cpuinfo in (ZEN3, ZEN4, CORTEX_A72)]
    found.append(facts(described(ZEN3), None, ("381", "1024")))
    assert all(found.count(each) == 1 for each in found)
    assert facts(described(ZEN4), None)["instruction_sets"] != facts(described(ZEN3), None)["instruction_sets"]


def test_a_processor_without_a_name_has_llvms() -> None:
    says = replace(described(CORTEX_A72), model=None, mcpu="cortex-a72")
    assert facts(says, None)["processor"] == "cortex-a72"
    assert "processor" not in facts(replace(says, mcpu=None), None)


def test_a_gpus_driver_is_part_of_it() -> None:
    gpu = Gpu("opencl", name="Mali-G52", units=2, driver="7", memory_bytes=5)
    newer, larger = replace(gpu, driver="8"), replace(gpu, memory_bytes=6)
    own, other, same = (facts(described(CORTEX_A72), each) for each in (gpu, newer, larger))
    assert own["gpu"] == {"name": "Mali-G52", "units": 2, "driver": "7"}
    assert own == same != other
