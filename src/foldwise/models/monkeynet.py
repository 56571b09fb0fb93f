"""The smallest network here: one convolution, and two linear layers on a grid of its maxima.

As described: a 3x3 convolution of 32 channels padded by 2, ReLU, maxima over 8x8 pixels, linear
layers to 16 and to the classes. Spatial attention (Woo et al., CBAM, 2018) may stand behind the
last convolution (``attention=true``); 2-D dropout (Tompson et al., 2015) is behind each, plain
dropout before the last layer, both of one rate, 0.5.

The description computes the width of the linear layer from the size of the images, which then
cannot change. Here the grid is fixed when the model is made, from ``img_size``, to what the
description has at that size (62x62 places and 1.97 M parameters at 500 pixels), and every map is
pooled to it: one instance takes every size. Its comment on a map of 128x16x16 fits none of its
layers and is passed over.
"""

from typing import Any, ClassVar

from timm.layers import get_act_layer
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from foldwise.models.base import Architecture, GridHead, untrained
from foldwise.models.blocks import SpatialAttention, scaled

PADDING = 2
SMALLEST = 28  # pixels; on smaller images 8x8 would leave a place or two: they are pooled by 2x2


class FewConvs(Architecture):
    """Images (batch, in_chans, height, width) -> logits (batch, num_classes); any size.

    Convolutions of ``channels`` and ``kernel``, halved between; then ``reduction`` pixels of an
    image of ``img_size`` become one place of the grid, by ``global_pool``. ``width``: multiplies
    all channels; ``hidden``: of the first linear layer.
    """

    GROUPS: ClassVar[dict[str, Any]] = {"stem": r"^convs\.0", "blocks": r"^convs\.(\d+)"}

    def __init__(
        self,
        channels: tuple[int, ...] = (32,),
        kernel: int = 3,
        reduction: int = 8,
        hidden: int = 16,
        attention: bool = False,
        width: float = 1.0,
        act_layer: str = "relu",
        img_size: int | tuple[int, int] = 32,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.5,
        global_pool: str = "max",
    ) -> None:
        super().__init__()
        side = size = img_size if isinstance(img_size, int) else min(img_size)
        convs: list[nn.Module] = []
        inputs = in_chans
        for number, outputs in enumerate(channels):
            pool = [nn.MaxPool2d(2)] if number else []
            conv = nn.Conv2d(inputs, scaled(outputs, width), kernel, padding=PADDING)
            side = (side // 2 if number else side) + 2 * PADDING - (kernel - 1)
            inputs = conv.out_channels
            # Attention comes before the dropout of the last convolution: it weighs what is there.
            last = attention and number == len(channels) - 1
            seen = [SpatialAttention()] if last else []
            act = get_act_layer(act_layer)()
            convs.append(nn.Sequential(*pool, conv, act, *seen, nn.Dropout2d(drop_rate)))
        self.convs = nn.Sequential(*convs)
        grid = max(1, side // (reduction if size >= SMALLEST else 2))
        self.add_head(
            GridHead(inputs, num_classes, grid, hidden, global_pool, drop_rate, act_layer),
            drop_rate,
        )

    def forward_features(self, x: Tensor) -> Tensor:
        """The map behind the last convolution, (batch, channels[-1], …)."""
        return self.convs(x)


# timm's word for a model that is told the size of its images when it is made.
default_cfgs = generate_default_cfgs(
    {"monkeynet.untrained": untrained("convs.0.0", fixed_input_size=True)}
)


@register_model
def monkeynet(pretrained: bool = False, **kwargs: Any) -> FewConvs:
    """One 3x3 convolution of 32 channels."""
    return build_model_with_cfg(FewConvs, "monkeynet", pretrained, **kwargs)
