"""`mobilenet`: timm's MobileNetV3 (Howard et al., 2019) under the short name of the description.

The large one, which is what people mean by the name; timm's own names have the others
(mobilenetv3_small_100 and so on). Weights and their tags are those of mobilenetv3_large_100.
"""

from dataclasses import replace
from typing import Any

from timm.models import generate_default_cfgs, get_arch_pretrained_cfgs, register_model
from timm.models.mobilenetv3 import MobileNetV3, mobilenetv3_large_100

default_cfgs = generate_default_cfgs(
    {
        name.replace("mobilenetv3_large_100", "mobilenet"): replace(config, architecture=None)
        for name, config in get_arch_pretrained_cfgs("mobilenetv3_large_100").items()
    }
)


@register_model
def mobilenet(pretrained: bool = False, **kwargs: Any) -> MobileNetV3:
    """mobilenetv3_large_100."""
    return mobilenetv3_large_100(pretrained, **kwargs)
