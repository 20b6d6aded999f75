"""Width, classes, image shape → timm's MobileViT-XXS (Mehta and Rastegari, arXiv 2110.02178) fitted to the image."""

from __future__ import annotations

from typing import cast

from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from torch import nn

from explorer.models import channels, fitted

STEM, HEAD = 16, 320
STEM_STRIDE = 2
EXPANSION = 2.0
# Channels, repetitions and stride of each stage's inverted residuals, and channels and depth of the transformer that
# follows them: table 4 of the paper.
STAGES = ((16, 1, 1, None), (24, 3, 2, None), (48, 1, 2, (64, 2)), (64, 1, 2, (80, 4)), (80, 1, 2, (96, 3)))
PATCH = 2  # px of a map, the side of what its tokens are taken from


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network; on small images the earliest strides are 1."""
    strides = fitted((STEM_STRIDE, *(stage[2] for stage in STAGES)), min(shape[1:]))
    stages = tuple(
        (_residuals(channels(base, width), count, stride), *_transformer(base, width, transformer))
        for (base, count, _, transformer), stride in zip(STAGES, strides[1:], strict=True)
    )
    configuration = ByoModelCfg(
        blocks=stages,
        stem_chs=channels(STEM, width),
        stem_type="3x3",
        stem_pool="",
        downsample="",
        act_layer="silu",
        num_features=channels(HEAD, width),
    )
    # Residuals whose last norm is all zeros at first would be the least of all channels to a pruning.
    network = ByobNet(configuration, num_classes=classes, in_chans=shape[0], zero_init_last=False)
    network.stem.conv.stride = (strides[0], strides[0])
    return cast(nn.Module, network)


def _residuals(outputs: int, count: int, stride: int) -> ByoBlockCfg:
    """Return inverted residuals, whose expanded channels are convolved depthwise."""
    options = {"bottle_in": True, "linear_out": True}
    return ByoBlockCfg(type="bottle", d=count, c=outputs, s=stride, gs=1, br=EXPANSION, block_kwargs=options)


def _transformer(base: int, width: float, transformer: tuple[int, int] | None) -> tuple[ByoBlockCfg, ...]:
    """Return the block that mixes a map's patches by a transformer of so many channels and layers, if there is one."""
    if transformer is None:
        return ()
    inner, depth = transformer
    options = {"transformer_dim": channels(inner, width), "transformer_depth": depth, "patch_size": PATCH}
    return (ByoBlockCfg(type="mobilevit", d=1, c=channels(base, width), s=1, block_kwargs=options),)
