"""Bottlenecks around 7x7 group convolutions, dilated by 1, 2 and 4, for wide views at few weights.

Dilation after Yu and Koltun, Multi-Scale Context Aggregation by Dilated Convolutions, 2016; groups
in bottlenecks after Xie et al., ResNeXt, 2017. Three stages, at 32, 16 and 8 pixels for 32-pixel
images, each of three blocks with dilation 1, 2 and 4; sides are halved by the stride of a stage's
first 7x7 convolution, never by pooling. Channels (64, 128, 256), bottlenecks of half of them and 8
groups are this file's: the description leaves them open. Before the classifier the map is averaged
over its places as in every network here: "no pooling" speaks of what is lost on the way there.
"""

from typing import Any

from timm.layers import ClassifierHead, ConvNormAct, get_act_layer
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from foldwise.models.base import Architecture, untrained
from foldwise.models.blocks import scaled

DILATIONS = (1, 2, 4)


class DilatedBottleneck(nn.Module):
    """1x1 down, 7x7 in groups, 1x1 up, and a shortcut.

    (batch, inputs, height, width) -> (batch, outputs, height / stride, width / stride), rounded up.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        stride: int,
        dilation: int,
        groups: int,
        act_layer: str,
    ) -> None:
        super().__init__()
        middle = max(1, outputs // 2 // groups) * groups
        self.branch = nn.Sequential(
            ConvNormAct(inputs, middle, 1, act_layer=act_layer),
            ConvNormAct(
                middle, middle, 7, stride, dilation=dilation, groups=groups, act_layer=act_layer
            ),
            ConvNormAct(middle, outputs, 1, apply_act=False),
        )
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity() if same else ConvNormAct(inputs, outputs, 1, stride, apply_act=False)
        )
        self.act = get_act_layer(act_layer)()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.branch(x) + self.shortcut(x))


class DilatedGroup(Architecture):
    """Images (batch, in_chans, height, width) -> logits (batch, num_classes); any size.

    ``cardinality``: groups of the 7x7 convolutions; ``width``: multiplies all channels.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = (64, 128, 256),
        cardinality: int = 8,
        width: float = 1.0,
        act_layer: str = "relu",
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        inputs = scaled(channels[0], width)
        self.stem = ConvNormAct(in_chans, inputs, 3, act_layer=act_layer)
        stages = []
        for number, outputs in enumerate(channels):
            outputs, stage = scaled(outputs, width), []
            for dilation in DILATIONS:
                stride = 2 if number and dilation == 1 else 1
                stage.append(
                    DilatedBottleneck(inputs, outputs, stride, dilation, cardinality, act_layer)
                )
                inputs = outputs
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.add_head(ClassifierHead(inputs, num_classes, global_pool, drop_rate), drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map, (batch, 256, height / 4, width / 4), sides rounded up."""
        return self.stages(self.stem(x))


default_cfgs = generate_default_cfgs({"dilated_group.untrained": untrained("stem.conv")})


@register_model
def dilated_group(pretrained: bool = False, **kwargs: Any) -> DilatedGroup:
    """Three stages of three blocks with dilation 1, 2 and 4."""
    return build_model_with_cfg(DilatedGroup, "dilated_group", pretrained, **kwargs)
