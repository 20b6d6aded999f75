"""``timm:name`` or ``torchvision:name`` → the library's network for classes and images, and what its weights want.

Only a worker imports this module: the command line knows such names by their form.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

from torch import nn

from explorer.core.errors import ExplorerError
from explorer.models import Build

MOST_NEAR = 3
# torchvision's networks of a fixed image size, and those with outputs besides the logits: arguments by start of name.
SIDE_ARGUMENTS = {"vit_": "image_size"}
SIDES_ARGUMENTS = {"maxvit": "input_size"}
ONE_OUTPUT = ("googlenet", "inception_v3")


def builder(model: str) -> Build:
    """Return the function that builds `model`; it takes no width.

    Raises
    ------
    ExplorerError
        If the library is not installed or has no such network; the message names the nearest.
    """
    if fault := check(model):
        raise ExplorerError(fault)
    library, name = model.split(":")
    return partial(_of_timm if library == "timm" else _of_torchvision, name)


def check(model: str) -> str | None:
    """Return in one sentence why there is no such network, None if there is one."""
    library, name = model.split(":")
    try:
        known = names(library)
    except ImportError as error:
        return f"model {model} needs the package {library}, which pip install {library} brings: {error}"
    base = name.partition(".")[0]  # what follows are the weights that timm has for it
    if name in known or (library == "timm" and base in known and name in names(library, with_weights=True)):
        return None
    near = [base] if base in known else difflib.get_close_matches(name, known, MOST_NEAR, cutoff=0.5)
    suggestion = f"; did you mean {' or '.join(repr(f'{library}:{each}') for each in near)}?" if near else ""
    return f"unknown model '{model}': {library} has no such network among its {len(known):,}{suggestion}"


def names(library: str, *, with_weights: bool = False) -> Sequence[str]:
    """Return the names of the networks that classify images.

    Parameters
    ----------
    with_weights
        Whether names of timm's that end in those of weights are among them.
    """
    if library == "timm":
        import timm

        return cast(Sequence[str], timm.list_models(pretrained=True) if with_weights else timm.list_models())
    import torchvision

    return cast(Sequence[str], torchvision.models.list_models(module=torchvision.models))


def matching(pattern: str) -> list[str]:
    """Return the models whose names contain what follows the library in `pattern`, ``timm:mobilenetv3`` for one.

    Raises
    ------
    ExplorerError
        If the library is not installed.
    """
    library, _, part = pattern.partition(":")
    try:
        return [f"{library}:{name}" for name in names(library) if part in name]
    except ImportError as error:
        raise ExplorerError(
            f"{pattern} needs the package {library}, which pip install {library} brings: {error}"
        ) from None


def wanted(model: str) -> dict[str, Any]:
    """Return what the library's weights for `model` ask of images, see `explorer.line.contracts.data.Wanted`.

    It is empty where the library says nothing.
    """
    library, name = model.split(":")
    return _timms_wanted(name) if library == "timm" else _torchvisions_wanted(name)


def _timms_wanted(name: str) -> dict[str, Any]:
    import timm
    from timm.data import resolve_data_config

    entry = timm.get_pretrained_cfg(name)
    if entry is None:
        return {}
    config = resolve_data_config(pretrained_cfg=entry.to_dict())
    _, height, width = config["input_size"]
    return {
        "mean": [*config["mean"]],
        "std": [*config["std"]],
        "image_size": min(height, width),
        "crop": config["crop_pct"],
        "interpolation": config["interpolation"],
    }


def _torchvisions_wanted(name: str) -> dict[str, Any]:
    import torchvision

    weights = torchvision.models.get_model_weights(name)
    entry = getattr(weights, "DEFAULT", None)
    if entry is None:
        return {}
    transform = entry.transforms()
    size, resized = transform.crop_size[0], transform.resize_size[0]
    return {
        "mean": [*transform.mean],
        "std": [*transform.std],
        "image_size": size,
        "crop": size / resized,
        "interpolation": transform.interpolation.value,
    }


def _of_timm(name: str, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return timm's untrained network; it is told the image's size if it is one that needs it."""
    import timm

    channels, *sides = shape
    create = partial(timm.create_model, name, num_classes=classes, in_chans=channels)
    with contextlib.suppress(TypeError):  # of a network that takes images of any size
        return cast(nn.Module, create(img_size=tuple(sides)))
    return cast(nn.Module, create())


def _of_torchvision(name: str, width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return torchvision's untrained network; its first convolution is another one for other images than of colour."""
    import torchvision

    channels, *sides = shape
    options: dict[str, Any] = {
        argument: min(sides) for start, argument in SIDE_ARGUMENTS.items() if name.startswith(start)
    }
    options |= {argument: tuple(sides) for start, argument in SIDES_ARGUMENTS.items() if name.startswith(start)}
    if name in ONE_OUTPUT:
        options |= {"aux_logits": False, "init_weights": True}
    network: nn.Module = torchvision.models.get_model(name, num_classes=classes, **options)
    for path, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d):
            if layer.in_channels != channels:
                network.set_submodule(path, _with_inputs(layer, channels))
            break
    return network


def _with_inputs(layer: nn.Conv2d, channels: int) -> nn.Conv2d:
    """Return a convolution of the same kind with other input channels."""
    same: Any = {
        each: getattr(layer, each) for each in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
    }
    found = nn.Conv2d(channels, layer.out_channels, bias=layer.bias is not None, **same)
    nn.init.kaiming_normal_(found.weight, mode="fan_out")
    return found
