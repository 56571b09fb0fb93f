"""monkeynet with a second convolution: 5x5 kernels, 32 and 64 channels, each halved by maxima.

The description adds the convolution, its pooling by 2 and dropout to monkeynet, and says nothing of
the linear layers: they stay as they are there, 16 wide. See monkeynet.py for the rest.
"""

from typing import Any

from timm.models import build_model_with_cfg, generate_default_cfgs, register_model

from foldwise.models.base import untrained
from foldwise.models.monkeynet import FewConvs

default_cfgs = generate_default_cfgs(
    {"classification_cnn.untrained": untrained("convs.0.0", fixed_input_size=True)}
)


@register_model
def classification_cnn(pretrained: bool = False, **kwargs: Any) -> FewConvs:
    """Two 5x5 convolutions."""
    own: dict[str, Any] = {"channels": (32, 64), "kernel": 5, "reduction": 2}
    return build_model_with_cfg(FewConvs, "classification_cnn", pretrained, **own | kwargs)
