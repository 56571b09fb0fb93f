"""A small residual network with squeeze-and-excitation, made for CIFAR and under 3 M parameters.

He et al., 2016, and Hu et al., Squeeze-and-Excitation Networks, 2018: a 3x3 stem of 32 channels
without reduction, four stages of two basic blocks (32, 64, 128, 256), the sides halved from the
second on, dropout 0.3 before the classifier. `se_resnet_small_sd` adds stochastic depth (Huang et
al., 2016), rising to 0.2 at the last block: the paper's 0.5 is for networks of 54 blocks, not 8.

The description counts 2.8 M parameters and 2.9 M with stochastic depth, which has none: both have
2.8 M here. Its reduction of 16 is the paper's, with at least 8 channels (timm's SEModule).
"""

from typing import Any

from timm.layers import ClassifierHead, ConvNormAct
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from foldwise.models.base import Architecture, untrained
from foldwise.models.blocks import BasicBlock, residual_stages, scaled


class SEResNetSmall(Architecture):
    """Images (batch, in_chans, height, width) -> logits (batch, num_classes); any size.

    ``drop_path_rate``: of the last block, falling to 0 at the first; ``drop_block_rate``: DropBlock
    in the last two stages, as in timm's resnets; ``width``: multiplies all channels.
    """

    def __init__(
        self,
        layers: tuple[int, ...] = (2, 2, 2, 2),
        channels: tuple[int, ...] = (32, 64, 128, 256),
        width: float = 1.0,
        act_layer: str = "relu",
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.3,
        drop_path_rate: float = 0.0,
        drop_block_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        inputs = scaled(channels[0], width)
        self.stem = ConvNormAct(in_chans, inputs, 3, act_layer=act_layer)
        paths = [drop_path_rate * n / max(1, sum(layers) - 1) for n in range(sum(layers))]

        def block(inputs: int, outputs: int, stage: int, stride: int) -> nn.Module:
            late = drop_block_rate if stage >= len(layers) - 2 else 0.0
            return BasicBlock(
                inputs, outputs, stride, squeeze=True, drop_path=paths.pop(0), drop_block=late,
                act_layer=act_layer,
            )  # fmt: skip

        outputs = [scaled(number, width) for number in channels]
        self.stages = residual_stages(inputs, layers, outputs, block)
        self.add_head(ClassifierHead(outputs[-1], num_classes, global_pool, drop_rate), drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        """The last map, (batch, 256, height / 8, width / 8), sides rounded up."""
        return self.stages(self.stem(x))


default_cfgs = generate_default_cfgs(
    {
        f"{name}.untrained": untrained("stem.conv")
        for name in ("se_resnet_small", "se_resnet_small_sd")
    }
)


@register_model
def se_resnet_small(pretrained: bool = False, **kwargs: Any) -> SEResNetSmall:
    """Two blocks in each of four stages: 2.8 million parameters."""
    return build_model_with_cfg(SEResNetSmall, "se_resnet_small", pretrained, **kwargs)


@register_model
def se_resnet_small_sd(pretrained: bool = False, **kwargs: Any) -> SEResNetSmall:
    """se_resnet_small with stochastic depth."""
    kwargs = {"drop_path_rate": 0.2, **kwargs}
    return build_model_with_cfg(SEResNetSmall, "se_resnet_small_sd", pretrained, **kwargs)
