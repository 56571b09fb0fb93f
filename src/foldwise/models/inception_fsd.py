"""Inception modules whose maps of three depths are fused: near details and the whole at once.

Szegedy et al., Going Deeper with Convolutions, 2015, for the modules (1x1, 3x3, 5x5 and pooling
side by side, with 1x1 convolutions before the dear ones; the 5x5 as two 3x3 as in Szegedy et al.,
2016), and Liu et al., SSD, 2016, for features taken at several depths.

The description gives the modules, the three scales (4x4, 2x2, 1x1), more than one linear layer and
dropout 0.4; the widths are those of this file. The scales are poolings of the maps after the
first, second and third pair of modules, so every image size has them. They are laid over one
another on a 4x4 grid, where the coarser ones repeat: one map holds all three, for Grad-CAM and for
other heads, and a linear layer over its places can do what one over the three apart can.
"""

from typing import Any, ClassVar

import torch
from timm.layers import ConvNormAct, SelectAdaptivePool2d
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn
from torch.nn import functional

from foldwise.models.base import Architecture, GridHead, untrained
from foldwise.models.blocks import scaled

GRID = 4
SCALES = (GRID, 2, 1)


class Inception(nn.Module):
    """(batch, inputs, height, width) -> (batch, outputs, height, width).

    Of the outputs, a quarter comes from 1x1, a half from 3x3, an eighth each from 5x5 and pooling.
    """

    def __init__(self, inputs: int, outputs: int, act_layer: str) -> None:
        super().__init__()
        one, five = max(1, outputs // 4), max(1, outputs // 8)
        three = outputs - one - 2 * five

        def conv(inputs: int, outputs: int, kernel: int) -> nn.Module:
            return ConvNormAct(inputs, outputs, kernel, act_layer=act_layer)

        self.one = conv(inputs, one, 1)
        self.three = nn.Sequential(conv(inputs, one, 1), conv(one, three, 3))
        self.five = nn.Sequential(conv(inputs, five, 1), conv(five, five, 3), conv(five, five, 3))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), conv(inputs, five, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], dim=1)


class InceptionFSD(Architecture):
    """Images (batch, in_chans, height, width) -> logits (batch, num_classes); any size.

    ``channels``: of the three pairs of modules; ``scale_channels``: of each scale after its 1x1
    convolution; ``hidden``: width of the first linear layer; ``width``: multiplies all of them;
    ``global_pool``: how a map is pooled to its scale, avg or max.
    """

    GROUPS: ClassVar[dict[str, Any]] = {
        "stem": r"^stem",
        "blocks": [(r"^stages\.(\d+)\.(\d+)", None), (r"^scales", (9,))],
    }

    def __init__(
        self,
        channels: tuple[int, ...] = (128, 256, 384),
        scale_channels: int = 64,
        hidden: int = 256,
        width: float = 1.0,
        act_layer: str = "relu",
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.4,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        if global_pool == "catavgmax":
            raise ValueError("inception_fsd pools by avg, max or avgmax")
        inputs, each = scaled(64, width), scaled(scale_channels, width)
        self.stem = ConvNormAct(in_chans, inputs, 3, act_layer=act_layer)
        stages, scales = [], []
        for outputs, side in zip(channels, SCALES, strict=True):
            outputs = scaled(outputs, width)
            stages.append(
                nn.Sequential(
                    nn.MaxPool2d(2, ceil_mode=True),
                    Inception(inputs, outputs, act_layer),
                    Inception(outputs, outputs, act_layer),
                )
            )
            scales.append(
                nn.Sequential(
                    ConvNormAct(outputs, each, 1, act_layer=act_layer),
                    SelectAdaptivePool2d(side, global_pool),
                )
            )
            inputs = outputs
        self.stages, self.scales = nn.ModuleList(stages), nn.ModuleList(scales)
        head = GridHead(
            len(SCALES) * each, num_classes, GRID, scaled(hidden, width), "", drop_rate,
            act_layer,
        )  # fmt: skip
        self.add_head(head, drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        """The three scales over one another, (batch, 3 * scale_channels, 4, 4)."""
        x, found = self.stem(x), []
        for stage, scale in zip(self.stages, self.scales, strict=True):
            x = stage(x)
            found.append(functional.interpolate(scale(x), size=(GRID, GRID)))
        return torch.cat(found, dim=1)


default_cfgs = generate_default_cfgs({"inception_fsd.untrained": untrained("stem.conv")})


@register_model
def inception_fsd(pretrained: bool = False, **kwargs: Any) -> InceptionFSD:
    """Three pairs of inception modules, fused at 4x4, 2x2 and 1x1."""
    return build_model_with_cfg(InceptionFSD, "inception_fsd", pretrained, **kwargs)
