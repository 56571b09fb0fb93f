"""Plain convolutional networks for small images: blocks of two 3x3 convolutions, halved between.

`convnet2` has two blocks (64 and 128 channels wide): enough for 8-pixel digits and
quick on any processor.
"""

from typing import Any, ClassVar

from timm.layers import ClassifierHead, get_act_layer
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from foldwise.models.base import Architecture, GridHead, untrained


def _conv(inputs: int, outputs: int, act_layer: str) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(outputs), get_act_layer(act_layer)(inplace=True)]


class ConvNet(Architecture):
    """Images (batch, in_chans, height, width) -> logits (batch, num_classes); any size from 4 up.

    ``widths``: the channels of each block. Between two blocks the sides are halved. ``hidden``: the
    width of a linear layer before the last one, over a grid of 2x2 places; 0: none.
    """

    GROUPS: ClassVar[dict[str, Any]] = {"stem": r"^blocks\.0\.0", "blocks": r"^blocks\.(\d+)"}

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128),
        hidden: int = 0,
        act_layer: str = "relu",
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip((in_chans, *widths), widths, strict=False)):
            pool = [nn.MaxPool2d(2, ceil_mode=True)] if number else []
            first, second = _conv(inputs, outputs, act_layer), _conv(outputs, outputs, act_layer)
            blocks.append(nn.Sequential(*pool, *first, *second))
        self.blocks = nn.Sequential(*blocks)
        last = (widths[-1], num_classes)
        self.add_head(
            GridHead(*last, 2, hidden, global_pool, drop_rate, act_layer)
            if hidden
            else ClassifierHead(*last, global_pool, drop_rate),
            drop_rate,
        )

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map, (batch, widths[-1], height / 2, width / 2) with two blocks, rounded up."""
        return self.blocks(x)


default_cfgs = generate_default_cfgs({"convnet2.untrained": untrained("blocks.0.0")})


@register_model
def convnet2(pretrained: bool = False, **kwargs: Any) -> ConvNet:
    """Two blocks, 64 and 128 channels: 0.26 million parameters."""
    return build_model_with_cfg(ConvNet, "convnet2", pretrained, **kwargs)
