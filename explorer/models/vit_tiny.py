"""Width, classes, image shape → timm's ViT-Tiny (Dosovitskiy et al., arXiv 2010.11929; Touvron et al., 2012.12877)."""

from __future__ import annotations

from typing import cast

from timm.models.vision_transformer import VisionTransformer
from torch import nn

from explorer.models import SMALL_IMAGE, channels

DEPTH = 12
HEADS = 3
HEAD_CHANNELS = 64
PATCH = 16  # px, the side of what becomes one token
SMALL_SIDE = 8  # tokens along the shorter side of a small image, as many as patches of 4 px make of CIFAR's


def build(width: float, classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Return an untrained network; `width` multiplies the channels of its three heads, and so those of all layers.

    Up to 64 px its patches are an eighth of the image, as is usual on CIFAR. The image's last rows and columns that
    fill no patch do not count.
    """
    side = min(shape[1:])
    patch = max(1, round(side / SMALL_SIDE)) if side <= SMALL_IMAGE else PATCH
    network = VisionTransformer(
        img_size=shape[1:],
        patch_size=patch,
        in_chans=shape[0],
        num_classes=classes,
        embed_dim=HEADS * channels(HEAD_CHANNELS, width),
        depth=DEPTH,
        num_heads=HEADS,
    )
    return cast(nn.Module, network)
