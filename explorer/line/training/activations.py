"""Network and image shape → the bytes that a forward pass keeps of each image for the backward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

IMAGES = 2  # batch norm needs more than one value per channel


def kept_bytes(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Return how many bytes `model`, in channels-last layout, keeps per image of `shape`, (C, H, W), as it trains.

    They are counted in a forward pass that leaves buffers and torch's generator alone; layers and shapes decide them.
    """
    constants = {tensor.untyped_storage().data_ptr() for tensor in model.parameters()}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in constants:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    images = torch.zeros(IMAGES, *shape).contiguous(memory_format=torch.channels_last)
    with torch.random.fork_rng(), saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = functional_call(model, buffers, (images,))
    del outputs  # only now: what it keeps must not be freed while others are counted, or an address might come twice
    return sum(kept.values()) // IMAGES
