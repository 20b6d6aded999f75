"""Parts of both ResNets: one stem for small images and one for large ones, projections where shapes change."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from explorer.models._resnet import resnet


@pytest.mark.parametrize(("side", "kernel", "pools"), [(64, 3, False), (65, 7, True)])
def test_the_stem_is_that_of_cifar_up_to_64_px(side: int, kernel: int, pools: bool) -> None:
    with torch.device("meta"):
        network = resnet(BasicBlock, (1, 1, 1, 1), 1.0, 10, (2, side, 2 * side))
    stem = network.get_submodule("conv1")
    assert isinstance(stem, nn.Conv2d)
    assert (stem.in_channels, stem.kernel_size[0], stem.stride[0]) == (2, kernel, 2 if pools else 1)
    assert ("maxpool" in dict(network.named_children())) == pools


@pytest.mark.parametrize(("block", "projections"), [(BasicBlock, [2, 3, 4]), (Bottleneck, [1, 2, 3, 4])])
def test_only_the_first_block_of_a_stage_projects_and_only_where_the_shape_changes(
    block: type[BasicBlock | Bottleneck], projections: list[int]
) -> None:
    with torch.device("meta"):
        network = resnet(block, (2, 1, 1, 2), 0.5, 10, (3, 32, 32))
    names = [name for name, module in network.named_modules() if name.endswith("downsample.0")]
    assert names == [f"layer{stage}.0.downsample.0" for stage in projections]
