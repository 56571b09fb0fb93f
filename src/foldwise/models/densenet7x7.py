"""A DenseNet of 7x7 kernels that keeps the full resolution of small images to the end.

After Huang et al., Densely Connected Convolutional Networks, 2017: layers of BN-ReLU-conv, each of
which sees all that came before it in its block. As described, 7x7 kernels stand for 3x3 and the
transitions between blocks have no pooling; the ReLUs are not in place, because later layers read
the same maps. The description leaves the stem and the transitions' width open: a 7x7 convolution
to twice the growth rate and halves, which are the paper's (DenseNet-BC).

Faithful, it is dear: 3.25 billion multiply-adds at 32 pixels, 88 times timm's resnet18 there, for
3.2 million parameters. ``width`` makes it thinner: 0.5 costs a quarter.
"""

from typing import Any, ClassVar

import torch
from timm.layers import ClassifierHead, get_act_layer
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from foldwise.models.base import Architecture, untrained
from foldwise.models.blocks import scaled


def _norm_act_conv(inputs: int, outputs: int, kernel: int, act_layer: str) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        get_act_layer(act_layer)(inplace=False),
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False),
    )


class DenseBlock(nn.Module):
    """(batch, inputs, …) -> (batch, inputs + layers * growth, …), of the same height and width."""

    def __init__(self, inputs: int, layers: int, growth: int, kernel: int, act_layer: str) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _norm_act_conv(inputs + n * growth, growth, kernel, act_layer) for n in range(layers)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.cat([x, layer(x)], dim=1)
        return x


class DenseNet7x7(Architecture):
    """Images (batch, in_chans, height, width) -> logits (batch, num_classes); any size.

    ``block_config``: layers of each dense block; ``growth_rate``: channels that a layer adds;
    ``width``: multiplies the growth rate, and with it all channels.
    """

    GROUPS: ClassVar[dict[str, Any]] = {
        "stem": r"^stem",
        "blocks": [(r"^stages\.(\d+)", None), (r"^norm", (99999,))],  # timm's: the group before
    }

    def __init__(
        self,
        block_config: tuple[int, ...] = (3, 6, 12, 8),
        growth_rate: int = 16,
        width: float = 1.0,
        kernel: int = 7,
        act_layer: str = "relu",
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.2,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        growth = scaled(growth_rate, width)
        channels = 2 * growth
        self.stem = nn.Conv2d(in_chans, channels, kernel, padding=kernel // 2, bias=False)
        stages: list[nn.Module] = []
        for number, layers in enumerate(block_config):
            if number:
                transition = _norm_act_conv(channels, channels // 2, 1, act_layer)
                stages.append(transition)
                channels //= 2
            stages.append(DenseBlock(channels, layers, growth, kernel, act_layer))
            channels += layers * growth
        self.stages = nn.Sequential(*stages)
        self.norm = nn.BatchNorm2d(channels)
        self.act = get_act_layer(act_layer)(inplace=False)
        self.add_head(ClassifierHead(channels, num_classes, global_pool, drop_rate), drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map, (batch, num_features, height, width): no side is ever reduced."""
        return self.act(self.norm(self.stages(self.stem(x))))


default_cfgs = generate_default_cfgs({"densenet7x7.untrained": untrained("stem")})


@register_model
def densenet7x7(pretrained: bool = False, **kwargs: Any) -> DenseNet7x7:
    """Blocks of 3, 6, 12 and 8 layers with growth 16."""
    return build_model_with_cfg(DenseNet7x7, "densenet7x7", pretrained, **kwargs)
