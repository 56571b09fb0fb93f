"""Convolutions whose output is a single pixel, computed as what they then are: linear layers.

Networks made for large images end in such maps when they see small ones: the last five 3x3
convolutions of timm's resnet18 at 32 pixels. A CPU's convolution kernels handle them one image at
a time and multiply by the padding; a linear layer over what the kernel sees is one matrix product.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class OnePixelConv2d(nn.Conv2d):
    """nn.Conv2d with the same weights and, up to rounding, the same results and gradients."""

    def forward(self, input: Tensor) -> Tensor:
        """(batch, in_channels, height, width) -> (batch, out_channels, …), as nn.Conv2d."""
        if self.padding_mode != "zeros" or isinstance(self.padding, str):
            return super().forward(input)
        if self.groups > 1 and not torch.is_grad_enabled():  # forward alone it is the fast one
            return super().forward(input)
        vertical = self._window(0, input.shape[2])
        horizontal = self._window(1, input.shape[3])
        if vertical is None or horizontal is None:
            return super().forward(input)
        (rows, height), (columns, width) = vertical, horizontal
        seen, weight = input[:, :, rows, columns], self.weight[:, :, height, width]
        if self.groups > 1:
            return self._grouped(seen, weight)[:, :, None, None]
        seen, weight = (part.permute(0, 2, 3, 1).flatten(1) for part in (seen, weight))
        return functional.linear(seen, weight, self.bias)[:, :, None, None]

    def _grouped(self, seen: Tensor, weight: Tensor) -> Tensor:
        """A matrix product of each group: (batch, out_channels)."""
        ours = seen.reshape(len(seen), self.groups, -1).transpose(0, 1)
        theirs = weight.reshape(self.groups, len(weight) // self.groups, -1).transpose(1, 2)
        out = (ours @ theirs).transpose(0, 1).flatten(1)
        return out if self.bias is None else out + self.bias

    def _window(self, axis: int, side: int) -> tuple[slice, slice] | None:
        """Where map and kernel meet: a slice of each; None: more than one output pixel."""
        kernel, padding = self.kernel_size[axis], int(self.padding[axis])
        dilation = self.dilation[axis]
        room = side + 2 * padding - dilation * (kernel - 1) - 1
        if not 0 <= room < self.stride[axis]:
            return None
        met = [t for t in range(kernel) if 0 <= t * dilation - padding < side]
        if not met:
            return None
        start = met[0] * dilation - padding
        stop = met[-1] * dilation - padding + 1
        return slice(start, stop, dilation), slice(met[0], met[-1] + 1)


def one_pixel_as_linear(network: nn.Module) -> nn.Module:
    """Give every plain convolution of ``network`` the short cut, in place."""
    for module in network.modules():
        if type(module) is nn.Conv2d:
            module.__class__ = OnePixelConv2d
    return network


def plain_convolutions(network: nn.Module) -> nn.Module:
    """Take the short cut out again, in place: an exported graph is of layers that all know."""
    for module in network.modules():
        if type(module) is OnePixelConv2d:
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
    return network
