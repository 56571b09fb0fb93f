"""Two branches side by side, one for the whole and one for details, fused in a common subspace.

The global branch is residual blocks of 7x7 kernels (He et al., 2016), the local branch
space-to-depth convolutions (Sunkara and Luo, 2022), which halve the sides without dropping pixels.
The description gives these parts, not their sizes: both branches end at a quarter of the side with
128 channels. Each is then projected by its own 1x1 convolution into a subspace of 128 channels that
both share in width, the two are laid side by side and mixed by a 1x1 convolution into 256.
"""

from typing import Any, ClassVar

import torch
from timm.layers import ClassifierHead, ConvNormAct
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from foldwise.models.base import Architecture, untrained
from foldwise.models.blocks import BasicBlock, SpaceToDepthConv, scaled


class DualBranch(Architecture):
    """Images (batch, in_chans, height, width) -> logits (batch, num_classes); any size.

    ``subspace``: channels into which each branch is projected; ``width``: multiplies all channels.
    """

    GROUPS: ClassVar[dict[str, Any]] = {
        "stem": r"^whole\.0|^details\.0",
        "blocks": [(r"^whole\.(\d+)", None), (r"^details\.(\d+)", None), (r"^(?:to_|fuse)", (9,))],
    }

    def __init__(
        self,
        width: float = 1.0,
        subspace: int = 128,
        act_layer: str = "relu",
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_rate: float = 0.0,
        global_pool: str = "avg",
    ) -> None:
        super().__init__()
        narrow, middle, broad = (scaled(channels, width) for channels in (32, 64, 128))
        common = scaled(subspace, width)
        self.whole = nn.Sequential(
            ConvNormAct(in_chans, narrow, 7, act_layer=act_layer),
            BasicBlock(narrow, narrow, 1, 7, act_layer=act_layer),
            BasicBlock(narrow, middle, 2, 7, act_layer=act_layer),
            BasicBlock(middle, broad, 2, 7, act_layer=act_layer),
        )
        self.details = nn.Sequential(
            SpaceToDepthConv(in_chans, middle, act_layer),
            ConvNormAct(middle, middle, 3, act_layer=act_layer),
            SpaceToDepthConv(middle, broad, act_layer),
            ConvNormAct(broad, broad, 3, act_layer=act_layer),
        )
        self.to_whole = ConvNormAct(broad, common, 1, act_layer=act_layer)
        self.to_details = ConvNormAct(broad, common, 1, act_layer=act_layer)
        self.fuse = ConvNormAct(2 * common, 2 * common, 1, act_layer=act_layer)
        self.add_head(ClassifierHead(2 * common, num_classes, global_pool, drop_rate), drop_rate)

    def forward_features(self, x: Tensor) -> Tensor:
        """The fused map, (batch, 2 * subspace, height / 4, width / 4), sides rounded up."""
        whole, details = self.to_whole(self.whole(x)), self.to_details(self.details(x))
        return self.fuse(torch.cat([whole, details], dim=1))


FIRST = ("whole.0.conv", "details.0.conv.conv")
default_cfgs = generate_default_cfgs({"dual_branch.untrained": untrained(FIRST)})


@register_model
def dual_branch(pretrained: bool = False, **kwargs: Any) -> DualBranch:
    """A 7x7 residual and a space-to-depth branch."""
    return build_model_with_cfg(DualBranch, "dual_branch", pretrained, **kwargs)
