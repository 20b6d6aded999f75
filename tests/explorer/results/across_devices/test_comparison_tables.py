from __future__ import annotations

import pandas as pd

from explorer.results import readable
from explorer.results.across_devices.comparison_tables import comparison_text
from explorer.space.limits import Limit
from tests.explorer.frames import complete, disturbed, emulated, failed, frame_of
from tests.explorer.results.across_devices.test_comparison import FRAME, compared
from tests.explorer.shown import shown, squeezed


def lines(frame: pd.DataFrame, *limits: Limit) -> list[str]:
    return [squeezed(line) for line in shown(*comparison_text(compared(frame, *limits)))]


def test_each_front_is_a_table_with_a_line_for_each_other_device() -> None:
    found = lines(FRAME)
    assert found[:4] == [
        "The front of big, and its stacks on the other devices:",
        "compression algorithm trial accuracy latency (ms) 95 % interval on trial latency (ms) 95 % interval "
        "front there times the fastest there",
        "none direct 0 95.00 % 1.000 0.980 to 1.050 little 3 6.000 5.880 to 6.300 "
        "off it 1.50 (1.42 to 1.58) of trial 4",
        "channel_pruning direct 2 90.00 % 0.500 0.490 to 0.525 little 5 - - failed -",
    ]
    carried = (
        "none gemm 4 95.00 % 4.000 3.920 to 4.200 big 1 2.000 1.960 to 2.100 off it 2.00 (1.90 to 2.11) of trial 0"
    )
    assert carried in found


def test_what_the_stacks_share_and_which_choices_change_stand_below() -> None:
    found = lines(FRAME)
    (shared,) = (line for line in found if line.startswith("all: "))
    assert shared.startswith("all: dataset digits, model resnet18, width 1, ratio 0.5, channel_multiple vector, format")
    start = found.index("Choices that change with the device, and how many stacks of each front have them:")
    assert found[start + 1 : start + 3] == [
        "axis big little",
        "compression channel_pruning (1), none (1) none (1); not measured: channel_pruning",
    ]
    assert found[-1] == "algorithm direct (2) gemm (1)"


def test_a_stack_that_did_not_run_somewhere_shows_dashes() -> None:
    found = lines(FRAME[FRAME["number"] != 5])
    assert any(line.endswith("little - - - - -") for line in found)


def test_fronts_with_the_same_choices_are_told() -> None:
    frame = frame_of(complete(0, 0.9, 1.0), complete(1, 0.9, 2.0, device="board"))
    assert lines(frame)[-1] == "On every axis the fronts of all devices have the same choices."
    assert " local 0 1.000 0.980 to 1.050 on it 1" in lines(frame)[2]


def test_emulated_devices_are_marked_wherever_they_are_named() -> None:
    found = lines(emulated(FRAME, "little"))
    assert "The front of little (emulated), and its stacks on the other devices:" in found
    assert any(" little (emulated) 3 6.000 " in line for line in found)
    assert "axis big little (emulated)" in found
    assert readable.EMULATED in found
    assert readable.EMULATED not in lines(FRAME)


def test_accuracies_that_differ_elsewhere_have_a_column() -> None:
    frame = frame_of(complete(0, 0.9, 1.0), complete(1, 0.88, 2.0, device="board"))
    found = lines(frame)
    assert found[1].count("accuracy") == 2
    assert "local 0 90.00 % 1.000" in found[2]
    assert lines(frame.assign(accuracy=0.9))[1].count("accuracy") == 1


def test_a_disturbed_latency_is_marked_with_its_device() -> None:
    found = lines(disturbed(FRAME, 3, "no session was quiet"))
    assert found[2].endswith("of trial 4 disturbed on little")
    assert readable.DISTURBED in found


def test_a_device_without_a_front_says_so() -> None:
    found = lines(FRAME, Limit("latency_ms", "<=", 1.5))
    assert "No stack is on the front of little." in found
    assert any("beyond a limit" in line for line in found)
    assert lines(frame_of(failed(0), failed(1, device="[b]"))) == [
        "No stack is on the front of [b].",
        "No stack is on the front of local.",
    ]
