"""A space whose models may be ONNX files → an error where its settings ask for training that cannot be."""

from __future__ import annotations

from collections.abc import Iterator

from explorer.core import plugins
from explorer.core.configuration import parts
from explorer.core.settings import Settings
from explorer.space.rules.prefix_tree import Node
from explorer.space.toml.toml_file import TomlFile


def check_training(file: TomlFile, settings: Settings, tree: Node) -> None:
    """Refuse settings that train nothing from nothing, and those that would train or fine-tune ONNX files.

    Parameters
    ----------
    tree
        Of the valid configurations.

    Raises
    ------
    SpaceError
        If there are such settings. In a space with other models too, ``[train]`` is for those.
    """
    train, stacks = settings.train, dict.fromkeys(_stacks(tree))
    files = [model for model, _ in stacks if plugins.is_onnx(model)]
    if len(files) < len(stacks):
        if not train.epochs and not train.weights:
            raise file.error(
                'epochs = 0 in [train] trains nothing and needs weights = "file" to start from', "train", "epochs"
            )
    elif train.weights:
        raise file.error(f"weights in [train] start models in PyTorch, and {files[0]} has its own", "train", "weights")
    elif train.loss:
        raise file.error(
            f"loss in [train] is what training minimises, and {files[0]} is an ONNX file, which cannot be trained",
            "train", "loss",
        )  # fmt: skip
    elif train.epochs and "epochs" in train.model_fields_set:
        raise file.error(
            f"{files[0]} is an ONNX file, which cannot be trained; allowed: epochs = 0 in [train]", "train", "epochs"
        )
    removing = [(model, part) for model, part in stacks if plugins.is_onnx(model) and _fine_tunes(part)]
    if removing and settings.compress.epochs:
        model, part = removing[0]
        raise file.error(
            f"{model} is an ONNX file, which {part} cannot fine-tune for the {settings.compress.epochs} epochs of "
            "[compress]; allowed: epochs = 0 there, or a constraint that forbids the two together",
            "compress", "epochs",
        )  # fmt: skip


def _fine_tunes(part: str) -> bool:
    return part != "none" and plugins.defines("compression", part, "compress")


def _stacks(tree: Node) -> Iterator[tuple[str, str]]:
    """Yield model and parts of the compression of the valid configurations."""
    for of_dataset in tree.children.values():
        for model, of_model in of_dataset.children.items():
            for of_width in of_model.children.values():
                yield from ((str(model), part) for choice in of_width.children for part in parts(str(choice)))
