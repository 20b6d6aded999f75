from __future__ import annotations

from pathlib import Path

import pytest

from explorer.core.errors import SpaceError
from explorer.space import space

# Lines 1 to 8 of every file below.
AXES = """\
[axes]
dataset = "digits"
model = ["mobilenetv2", "resnet18"]
compression = ["none", "weight_pruning"]
ratio = [0.5]
algorithm = ["direct", "gemm"]
threads = [1, 2]
device = "local"
"""


def fail(folder: Path, text: str) -> str:
    """Return the one-sentence message without the folder."""
    path = folder / "x.toml"
    path.write_text(text)
    with pytest.raises(SpaceError) as caught:
        space.load(path)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            '"gemm"]',
            '\n"gem"]',
            "x.toml:7: unknown algorithm 'gem' on axis algorithm; allowed: ",
        ),
        ("threads = [1, 2]", "thread = [1, 2]", "x.toml:7: unknown axis 'thread'; allowed: dataset, model, width, "),
        ('"local"', '"locl"', "x.toml:8: unknown device 'locl' on axis device; allowed: local; did you mean 'local'?"),
        (
            '"local"',
            '["local", "phone"]',
            "x.toml:8: unknown device 'phone' on axis device; allowed: local; a device needs an entry such as [phone] "
            "in devices.toml, with its tracker and target, and this version has schedules for llvm targets only",
        ),
        (
            '"local"',
            '["locl", "phone"]',
            "x.toml:8: unknown devices 'locl', 'phone' on axis device; allowed: local; a device needs an entry such as "
            "[locl] in devices.toml",
        ),
        ('"digits"', '"digts"', "x.toml:2: unknown dataset 'digts' on axis dataset; allowed: "),
        ('"digits"', '"my module:load"', "x.toml:2: unknown dataset 'my module:load' on axis dataset; allowed: "),
        ('"digits"', "3", "x.toml:2: axis dataset takes names, not 3"),
        ('["direct", "gemm"]', '["direct", "all"]', "x.toml:6: 'all' stands alone: write algorithm = \"all\""),
        ('["direct", "gemm"]', "{ low = 1, high = 2 }", "x.toml:6: axis algorithm takes names, not a range"),
        ("threads = [1, 2]", "threads = []", "x.toml:7: axis threads lists no choice"),
        ("threads = [1, 2]", "threads = [1, 1]", "x.toml:7: axis threads lists 1 twice"),
        ("threads = [1, 2]", "threads = [1, 2.5]", "x.toml:7: axis threads takes integers, not 2.5"),
        ("threads = [1, 2]", "threads = true", "x.toml:7: axis threads takes integers, not True"),
        ("threads = [1, 2]", "threads = [0]", "x.toml:7: threads 0 is below 1"),
        ("threads = [1, 2]", "threads = { low = 4, high = 2 }", "x.toml:7: axis threads: low 4 is above high 2"),
        ("threads = [1, 2]", "threads = { low = 4 }", "x.toml:7: the range of axis threads has no high"),
        (
            "threads = [1, 2]",
            "threads = { low = 1, hihg = 2 }",
            "x.toml:7: unknown key 'hihg' in the range of axis threads; allowed: low, high, step, log; "
            "did you mean 'high'?",
        ),
        (
            "threads = [1, 2]",
            "threads = { low = 1, high = 2, step = 0 }",
            "x.toml:7: axis threads: step is a positive integer, not 0",
        ),
        (
            "threads = [1, 2]",
            "threads = { low = 1, high = 99999 }",
            "x.toml:7: axis threads has more than 10000 steps; use a larger step",
        ),
        (
            "ratio = [0.5]",
            "ratio = { low = 0.1, high = 0.5, step = 0.1, log = true }",
            "x.toml:5: axis ratio: a range has a step or log = true, not both",
        ),
        ("ratio = [0.5]", "ratio = { low = 0, high = 0.5 }", "x.toml:5: ratio 0 is outside (0, 1)"),
        ("ratio = [0.5]", "ratio = [0.5, 1.0]", "x.toml:5: ratio 1.0 is outside (0, 1)"),
        ("ratio = [0.5]", 'ratio = "all"', "x.toml:5: axis ratio takes numbers, not 'all'"),
        (
            "ratio = [0.5]",
            'channel_multiple = [8, "vectr"]',
            "x.toml:5: axis channel_multiple takes integers or 'vector', not 'vectr'",
        ),
        ("ratio = [0.5]", "channel_multiple = 0", "x.toml:5: channel_multiple 0 is below 1"),
        (
            "ratio = [0.5]",
            "ratio = [0.5]\nchannel_multiple = 16",
            "x.toml:6: no valid configuration has channel_multiple 16: "
            "no compression of the space takes a channel_multiple",
        ),
        ("ratio = [0.5]", "width = [-1]", "x.toml:5: width -1 is not positive"),
        (
            "ratio = [0.5]",
            "",
            "x.toml:4: no valid configuration has compression weight_pruning: compression weight_pruning needs a ratio",
        ),
        (
            '["none", "weight_pruning"]',
            '"none"',
            "x.toml:5: no valid configuration has ratio 0.5: no compression of the space takes a ratio",
        ),
        (
            'device = "local"',
            'format = ["dense", "csr"]\n[[constraints]]\nrequire = { compression = "none" }',
            "x.toml:4: no valid configuration has compression weight_pruning: "
            "the constraint at line 9 forbids compression weight_pruning",
        ),
        (
            '["none", "weight_pruning"]',
            '["none", "weight_pruning+in8"]',
            "x.toml:4: unknown compression 'in8' on axis compression; allowed: channel_pruning, float16, int8, "
            "int8_qat, none, weight_pruning; did you mean 'int8'?",
        ),
        (
            '["none", "weight_pruning"]',
            '["none", "weight_pruning", "int8+weight_pruning"]',
            "x.toml:4: no valid configuration has compression int8+weight_pruning: compression int8+weight_pruning: "
            "int8 decides the dtype of the whole network and stands last",
        ),
        (
            '["none", "weight_pruning"]\nratio = [0.5]',
            '"none"\nformat = "csr"',
            "x.toml:1: the space has no valid configuration: "
            "format csr needs weight_pruning: none leaves no zeros to skip",
        ),
        (
            'device = "local"',
            "[search]\nsampler = 'tpee'",
            "x.toml:9: unknown sampler 'tpee'; allowed: auto, gp, grid, nsga2, ",
        ),
        ('device = "local"', "[search]\ntrials = 0", "x.toml:9: trials = 0 in [search] should be greater than "),
        ('device = "local"', "[search]\ntrials = '3'", "x.toml:9: trials = '3' in [search] should be a valid integer"),
        ('device = "local"', "[search]\ntrails = 3", "x.toml:9: unknown key 'trails' in [search]; allowed: sampler, "),
        (
            'device = "local"',
            "[serach]\ntrials = 3",
            "x.toml:8: unknown key 'serach' in a search-space file; allowed: ",
        ),
        (
            'device = "local"',
            "[train]\nepoch = 3",
            "x.toml:9: unknown key 'epoch' in [train]; allowed: weights, ",
        ),
        ('device = "local"', "[train]\nbatch_size = 0", "x.toml:9: batch_size = 0 in [train] should be greater than "),
        ('device = "local"', "[train]\nepochs = 0", "x.toml:8: epochs = 0 in [train] trains nothing and needs weights"),
        ('device = "local"', "[objectives]", "x.toml:8: [objectives] lists none"),
        (
            'device = "local"',
            "[objectives]\nlatency = 'minimize'",
            "x.toml:9: unknown objective 'latency'; allowed: accuracy, latency_ms, size_bytes, macs, parameters; "
            "did you mean 'latency_ms'?",
        ),
        (
            'device = "local"',
            "[objectives]\naccuracy = 'max'",
            "x.toml:9: unknown direction 'max' of objective accuracy; allowed: maximize, minimize",
        ),
        ('device = "local"', "[[constraints]]\nwhen = { threads = 1 }", "x.toml:8: a constraint needs require = "),
        (
            'device = "local"',
            "[[constraints]]\nrequires = { threads = 1 }",
            "x.toml:9: unknown key 'requires' in a constraint; allowed: when, require, forbid; did you mean 'require'?",
        ),
        (
            'device = "local"',
            "[[constraints]]\nrequire = { model = ['resnet18',\n 'resnet81'] }",
            "x.toml:10: the space has no model 'resnet81'; allowed: mobilenetv2, resnet18; did you mean 'resnet18'?",
        ),
        (
            'device = "local"',
            "[[constraints]]\nrequire = { thread = 1 }",
            "x.toml:9: unknown axis 'thread' in a constraint; allowed: ",
        ),
        (
            'device = "local"',
            '[search]\nlimits = [\n"latency_ms <= 5",\n"latency <= 5"]',
            "x.toml:11: unknown quantity 'latency' in limit 'latency <= 5'; allowed: accuracy, latency_ms, "
            "size_bytes, macs, parameters; did you mean 'latency_ms'?",
        ),
        (
            'device = "local"',
            'device = "local"\n[search]\nlimits = ["latency_ms <= 5 on locl"]',
            "x.toml:10: unknown device 'locl' in limit 'latency_ms <= 5 on locl'; allowed: local; "
            "did you mean 'local'?",
        ),
        (
            'device = "local"',
            '[search]\nlimits = ["latency_ms <= 5", "latency_ms<=5.0"]',
            "x.toml:9: limits 'latency_ms <= 5' and 'latency_ms <= 5' are the same bound twice",
        ),
        (
            'device = "local"',
            '[search]\nlimits = ["latency_ms < 5"]',
            "x.toml:9: unknown comparison '<' in limit 'latency_ms < 5'; allowed: <=, >=",
        ),
        (
            'device = "local"',
            '[search]\nlimits = ["latency_ms <= 5 ms"]',
            "x.toml:9: '5 ms' in limit 'latency_ms <= 5 ms' is no number",
        ),
        (
            'device = "local"',
            "[search]\nlimits = [5]",
            "x.toml:9: limits lists texts such as 'latency_ms <= 5', not 5",
        ),
        (
            'device = "local"',
            '[search]\nlimits = "latency_ms <= 5"',
            "x.toml:9: limits = 'latency_ms <= 5' in [search] should be a valid list",
        ),
        (
            'device = "local"',
            'tuning_trials = [0, 8]\n[search]\nrungs = "tuning_trials"\nlatency_first = true',
            "x.toml:11: latency_first leaves out stacks that rungs might promote, by how they do untuned",
        ),
        (
            'device = "local"',
            '[search]\nlatency_first = "yes please"',
            "x.toml:9: latency_first = 'yes please' in [search] should be a valid boolean",
        ),
        ("[axes]", "axes = 3\n[other]", "x.toml:1: axes is a table: it starts with a line [axes]"),
        ("[axes]", "[axis]", "x.toml:1: unknown key 'axis' in a search-space file; allowed: name, axes, "),
        ("[axes]", "name = ''\n[axes]", "x.toml:1: name is a text, not ''"),
        ('dataset = "digits"', "", "x.toml:1: axis 'dataset' is missing"),
        ('dataset = "digits"', 'dataset = "digits', "x.toml:2: not valid TOML, column "),
    ],
)
def test_a_mistake_is_one_sentence_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in AXES
    assert fail(tmp_path, AXES.replace(old, new)).startswith(message)


def test_the_unchanged_file_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text(AXES)
    assert space.load(path).count == 2 * 2 * 2 * 2


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"unknown search space 'quikstart'.*did you mean 'quickstart'"):
        space.load(Path("quikstart"))
    (tmp_path / "mine.toml").write_text(AXES)
    with pytest.raises(SpaceError, match=r"mien\.toml: no such file; did you mean '.*mine\.toml'"):
        space.load(tmp_path / "mien.toml")


def test_a_space_too_large_to_count_is_refused(tmp_path: Path) -> None:
    many = AXES.replace("[1, 2]", "{ low = 1, high = 5000 }").replace("[0.5]", "{ low = 0.1, high = 0.9, step = 0.01 }")
    assert "combinations, more than 1,000,000" in fail(tmp_path, many)


def test_a_continuous_axis_takes_no_constraint(tmp_path: Path) -> None:
    text = AXES.replace("[0.5]", "{ low = 0.1, high = 0.9 }") + "[[constraints]]\nforbid = { ratio = 0.5 }\n"
    assert fail(tmp_path, text) == "x.toml:10: a constraint on axis ratio needs a step in the axis' range"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(SpaceError, match="not UTF-8"):
        space.load(path)
