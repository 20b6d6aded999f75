"""A convolution's shape → its output size, its multiply-accumulates and its kind."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Conv:
    """The shape of one two-dimensional convolution.

    Pairs are (height, width); `padding` is (top, left, bottom, right).
    """

    batch: int
    in_channels: int
    height: int
    width: int
    out_channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    @property
    def out_height(self) -> int:
        """Rows of the output."""
        return (self.height + self.padding[0] + self.padding[2] - self.extent[0]) // self.stride[0] + 1

    @property
    def out_width(self) -> int:
        """Columns of the output."""
        return (self.width + self.padding[1] + self.padding[3] - self.extent[1]) // self.stride[1] + 1

    @property
    def extent(self) -> tuple[int, int]:
        """Rows and columns of input that one output point sees, dilation included."""
        return tuple((size - 1) * step + 1 for size, step in zip(self.kernel, self.dilation, strict=True))  # type: ignore[return-value]

    @property
    def group_channels(self) -> int:
        """Input channels of one group."""
        return self.in_channels // self.groups

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run, padding counted."""
        points = self.batch * self.out_height * self.out_width
        return points * self.out_channels * self.group_channels * self.kernel[0] * self.kernel[1]

    @property
    def operator(self) -> str:
        """conv2d, depthwise_conv2d (one filter per channel) or grouped_conv2d."""
        if self.groups == 1:
            return "conv2d"
        if self.groups == self.in_channels == self.out_channels:
            return "depthwise_conv2d"
        return "grouped_conv2d"

    @property
    def is_pointwise(self) -> bool:
        """Whether each output point reads exactly the input point at its own place."""
        return self.kernel == (1, 1) and self.stride == (1, 1) and not any(self.padding)
