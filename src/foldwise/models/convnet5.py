"""Five double-convolution blocks with BN and LeakyReLU, then two linear layers with dropout.

The network of Simonyan and Zisserman (VGG, 2015) in small, with norms. The description gives
blocks, norm, activation and the two linear layers behind the flattened map; channels (64 to 512,
VGG's), the 512 of the first linear layer and dropout 0.5 (VGG's) are this file's. The sides are
halved between the blocks, so that 32 pixels end as 2x2 places; other sizes are pooled to that.
"""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from foldwise.models.base import untrained
from foldwise.models.blocks import scaled
from foldwise.models.convnet import ConvNet

CHANNELS = (64, 128, 256, 512, 512)

default_cfgs = generate_default_cfgs({"convnet5.untrained": untrained("blocks.0.0")})


@register_model
def convnet5(pretrained: bool = False, width: float = 1.0, **kwargs: Any) -> ConvNet:
    """Five blocks; ``width`` multiplies all channels, ``hidden`` too."""
    own: dict[str, Any] = {
        "widths": tuple(scaled(channels, width) for channels in CHANNELS),
        "hidden": scaled(512, width),
        "act_layer": "leaky_relu",
        "drop_rate": 0.5,
    }
    return build_model_with_cfg(ConvNet, "convnet5", pretrained, **own | kwargs)
