"""A space with a metric or a loss of the user's own: what it searches for, and what is wrong in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.core.errors import SpaceError
from explorer.core.measurement.metric import ACCURACY, Metric
from explorer.space.space import Space, load
from explorer.space.toml import space_file

AXES = '[axes]\ndataset = "digits"\nmodel = "resnet18"\n'
OWN = '[evaluate]\nmetric = "own:miou"\n'
MAE = '[evaluate]\nmetric = "own:mae"\ndirection = "minimize"\n'


def space(folder: Path, text: str) -> Space:
    path = folder / "own.toml"
    path.write_text(AXES + text)
    return load(path, space_file.BUNDLED / space_file.DEVICES_FILE)


def test_the_metric_takes_the_place_of_the_accuracy(tmp_path: Path) -> None:
    assert space(tmp_path, "").settings.metric == ACCURACY
    found = space(tmp_path, f'{OWN}[search]\nlimits = ["miou >= 0.5", "latency_ms <= 3"]\n')
    assert found.objectives == {"miou": "maximize", "latency_ms": "minimize", "size_bytes": "minimize"}
    assert [str(limit) for limit in found.limits] == ["miou >= 0.5", "latency_ms <= 3"]
    assert found.limits[0].violation("local", {"miou": 0.25}) == 0.5
    least = space(tmp_path, MAE)
    assert least.objectives["mae"] == "minimize"
    assert least.settings.metric == Metric("mae", "minimize")


def test_settings_that_are_not_given_are_in_no_key(tmp_path: Path) -> None:
    settings = space(tmp_path, "").settings.model_dump()
    assert not {"metric", "direction"} & settings["evaluate"].keys()
    assert "loss" not in settings["train"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'{OWN}[objectives]\naccuracy = "maximize"\n', "unknown objective 'accuracy'; allowed: miou, latency_ms, "),
        (f'{OWN}[search]\nlimits = ["accuracy >= 0.5"]\n', "unknown quantity 'accuracy' in limit .*allowed: miou, "),
        (f'{MAE}[objectives]\nmae = "maximize"\n', r"8: objective mae says maximize, and \[evaluate\] direction min"),
        (f"{OWN}[search]\nlatency_first = true\n", "latency_first goes by the accuracy .* has miou in its place"),
        ('[evaluate]\nmetric = "miou"\n', "5: metric = 'miou' is not module:function, which is a function of your own"),
        (
            '[evaluate]\nmetric = "own:latency_ms"\n',
            "has the name of another column, 'latency_ms': rename the function",
        ),
        ('[evaluate]\ndirection = "minimize"\n', "needs a metric: accuracy is maximised"),
        ('[evaluate]\nmetric = "own:mae"\ndirection = "least"\n', "unknown direction 'least'"),
        ('[train]\nloss = "mes"\n', "unknown loss 'mes'; allowed: .*did you mean 'mse'.; or module:function"),
        ('[train]\nloss = "own:2"\n', "loss = 'own:2' is not module:function"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=message) as failed:
        space(tmp_path, text)
    assert "\n" not in str(failed.value)
