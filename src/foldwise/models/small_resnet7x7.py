"""A small residual network of 7x7 kernels for 32-pixel images, 32-64-128-256 channels.

Residual blocks as in He et al., 2016. The description gives kernels, channels and the purpose
("extremely limited datasets"), not the number of blocks: one a stage, since a 7x7 block of 256
channels alone has 6.4 million weights; ``layers`` makes it deeper. The stem is a 7x7 convolution
of 32 channels without reduction, and the sides are halved at each widening.
"""

from typing import Any

from timm.layers import ClassifierHead, ConvNormAct
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from foldwise.models.base import Architecture, untrained
from foldwise.models.blocks import BasicBlock, residual_stages, scaled


class SmallResNet7x7(Architecture):
    """Images (batch, in_chans, height, width) -> logits (batch, num_classes); any size.

    ``layers``: blocks of each stage; ``width``: multiplies all channels.
    """

    def __init__(
        self,
        layers: tuple[int, ...] = (1, 1, 1, 1),
        channels: tuple[int, ...] = (32, 64, 128, 256),
        width: float = 1.0,
        act_layer: str = "relu",
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.2,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        inputs = scaled(channels[0], width)
        self.stem = ConvNormAct(in_chans, inputs, 7, act_layer=act_layer)

        def block(inputs: int, outputs: int, stage: int, stride: int) -> nn.Module:
            return BasicBlock(inputs, outputs, stride, 7, act_layer=act_layer)

        outputs = [scaled(number, width) for number in channels]
        self.stages = residual_stages(inputs, layers, outputs, block)
        self.add_head(ClassifierHead(outputs[-1], num_classes, global_pool, drop_rate), drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map, (batch, 256, height / 8, width / 8), sides rounded up."""
        return self.stages(self.stem(x))


default_cfgs = generate_default_cfgs({"small_resnet7x7.untrained": untrained("stem.conv")})


@register_model
def small_resnet7x7(pretrained: bool = False, **kwargs: Any) -> SmallResNet7x7:
    """One 7x7 block in each of four stages."""
    return build_model_with_cfg(SmallResNet7x7, "small_resnet7x7", pretrained, **kwargs)
