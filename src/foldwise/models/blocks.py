"""Blocks that several architectures share; what timm has of them is timm's."""

from collections.abc import Callable, Sequence

import torch
from timm.layers import ConvNormAct, DropBlock2d, DropPath, SEModule, get_act_layer
from timm.layers.adaptive_avgmax_pool import FastAdaptiveAvgPool
from torch import Tensor, nn
from torch.nn import functional


def scaled(channels: int, width: float) -> int:
    """``channels`` times the width setting of a model, at least 1. Raises ValueError below 0."""
    if channels < 1 or width <= 0:
        raise ValueError(f"{channels} channels times a width of {width} are none")
    return max(1, round(channels * width))


class BasicBlock(nn.Module):
    """Two convolutions and a shortcut (He et al., Deep Residual Learning, 2016), any kernel size.

    (batch, inputs, height, width) -> (batch, outputs, height / stride, width / stride), rounded
    up. The shortcut is a 1x1 convolution where shapes differ. ``squeeze``: squeeze-and-excitation
    (Hu et al., 2018) before the sum; ``drop_path``: stochastic depth (Huang et al., 2016);
    ``drop_block``: DropBlock (Ghiasi et al., 2018) of that rate, over 3x3 regions of the map
    between the convolutions, where timm's resnets have it.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int = 1,
        kernel: int = 3,
        squeeze: bool = False,
        drop_path: float = 0.0,
        drop_block: float = 0.0,
        act_layer: str = "relu",
    ) -> None:
        super().__init__()
        self.conv1 = ConvNormAct(inputs, outputs, kernel, stride, apply_act=False)
        self.drop_block = DropBlock2d(drop_block, block_size=3) if drop_block else nn.Identity()
        self.conv2 = ConvNormAct(outputs, outputs, kernel, apply_act=False)
        self.se = SEModule(outputs) if squeeze else nn.Identity()
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else ConvNormAct(inputs, outputs, 1, stride, apply_act=False)
        )
        self.act = get_act_layer(act_layer)()

    def forward(self, x: Tensor) -> Tensor:
        branch = self.conv2(self.act(self.drop_block(self.conv1(x))))
        return self.act(self.drop_path(self.se(branch)) + self.shortcut(x))


class SpaceToDepthConv(nn.Module):
    """Halves the sides without losing a pixel: each 2x2 square becomes channels, then a 3x3
    convolution, norm and activation (Sunkara and Luo, No More Strided Convolutions, 2022).

    (batch, inputs, height, width) -> (batch, outputs, height / 2, width / 2); odd sides get a row
    or column of zeros. (timm's space-to-depth takes squares of 4x4 only.)
    """

    def __init__(self, inputs: int, outputs: int, act_layer: str = "relu") -> None:
        super().__init__()
        self.conv = ConvNormAct(4 * inputs, outputs, 3, act_layer=act_layer)

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        if height % 2 or width % 2:
            x = functional.pad(x, (0, width % 2, 0, height % 2))
        height, width = (height + 1) // 2, (width + 1) // 2
        x = x.reshape(batch, channels, height, 2, width, 2)
        # Place in the square first, then channel: so timm can turn the first layer gray.
        return self.conv(x.permute(0, 3, 5, 1, 2, 4).reshape(batch, -1, height, width))


class SpatialAttention(nn.Module):
    """Weighs each place of a map by a 7x7 convolution over its mean and maximum of the channels
    (Woo et al., CBAM, 2018).

    As the paper's formula has it, with no norm before the sigmoid; timm's SpatialAttn has one.
    """

    def __init__(self, kernel: int = 7) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([x.mean(dim=1, keepdim=True), x.amax(dim=1, keepdim=True)], dim=1)
        return x * self.conv(seen).sigmoid()


class GeM(nn.Module):
    """Generalized-mean pooling (Radenović et al., 2018): the p-th root of the mean of x^p.

    1 is the average, infinity the maximum; p is learned, from 3. (batch, channels, height, width)
    -> (batch, channels, size, size). In float32 whatever the precision: cubes overflow in fp16.
    ``sides``: for maps with channels last, their dimensions; then -> (batch, 1, 1, channels), or
    (batch, channels) without ``keepdim``.
    """

    def __init__(
        self,
        size: int | tuple[int, int] = 1,
        sides: tuple[int, int] | None = None,
        keepdim: bool = True,
    ) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))
        self.size, self.sides, self.keepdim = size, sides, keepdim

    @classmethod
    def like(cls, pool: nn.Module) -> "GeM":
        """What takes the place of one of timm's poolings."""
        if isinstance(pool, FastAdaptiveAvgPool):
            return cls(sides=tuple(pool.dim), keepdim=not pool.flatten)
        return cls(getattr(pool, "output_size", 1))

    def forward(self, x: Tensor) -> Tensor:
        powers = x.float().clamp(min=1e-6).pow(self.p)
        if self.sides:
            means = powers.mean(self.sides, keepdim=self.keepdim)
        else:
            means = functional.adaptive_avg_pool2d(powers, self.size)
        return means.pow(1 / self.p).to(x.dtype)


def residual_stages(
    inputs: int,
    layers: Sequence[int],
    channels: Sequence[int],
    block: Callable[[int, int, int, int], nn.Module],
) -> nn.Sequential:
    """Stages of ``layers[i]`` blocks of ``channels[i]`` channels, halving the sides between them.

    ``block(inputs, outputs, stage, stride)`` makes one.
    """
    stages = []
    for number, (depth, outputs) in enumerate(zip(layers, channels, strict=True)):
        stage = []
        for place in range(depth):
            stage.append(block(inputs, outputs, number, 2 if number and not place else 1))
            inputs = outputs
        stages.append(nn.Sequential(*stage))
    return nn.Sequential(*stages)
