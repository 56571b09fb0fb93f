"""Plain convolutional networks for small images: blocks of two 3x3 convolutions, halved between.

`convnet2` has two blocks (64 and 128 channels wide): enough for 8-pixel digits and
quick on any processor.
"""

from typing import Any

import torch
from timm.layers import ClassifierHead
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn


def _conv(inputs: int, outputs: int) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


class ConvNet(nn.Module):
    """Images (batch, in_chans, height, width) -> logits (batch, num_classes); any size from 4 up.

    ``widths``: the channels of each block. Between two blocks the sides are halved.
    """

    def __init__(
        self,
        widths: tuple[int, ...] = (64, 128),
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        self.num_classes, self.drop_rate = num_classes, drop_rate
        self.num_features = self.head_hidden_size = widths[-1]
        blocks: list[nn.Module] = []
        for number, (inputs, outputs) in enumerate(zip((in_chans, *widths), widths, strict=False)):
            pool = [nn.MaxPool2d(2, ceil_mode=True)] if number else []
            blocks.append(nn.Sequential(*pool, *_conv(inputs, outputs), *_conv(outputs, outputs)))
        self.blocks = nn.Sequential(*blocks)
        self.head = ClassifierHead(widths[-1], num_classes, global_pool, drop_rate)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's grouping of parameters by depth, for layer-wise learning rates and freezing."""
        return {"stem": r"^blocks\.0\.0", "blocks": r"^blocks\.(\d+)"}

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last feature map, (batch, widths[-1], height / 2, width / 2) with two blocks."""
        return self.blocks(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


default_cfgs = generate_default_cfgs(
    {
        "convnet2.untrained": {
            "url": "",
            "num_classes": 1000,
            "input_size": (3, 32, 32),
            "pool_size": None,
            "crop_pct": 1.0,
            "interpolation": "bilinear",
            "mean": (0.5, 0.5, 0.5),
            "std": (0.25, 0.25, 0.25),
            "first_conv": "blocks.0.0",
            "classifier": "head.fc",
        }
    }
)


@register_model
def convnet2(pretrained: bool = False, **kwargs: Any) -> ConvNet:
    """Two blocks, 64 and 128 channels: 0.26 million parameters."""
    return build_model_with_cfg(ConvNet, "convnet2", pretrained, **kwargs)
