"""Models: timm's, and our own, which register with timm when this package is imported."""

from foldwise.models import (
    classification_cnn,
    convnet,
    convnet5,
    densenet7x7,
    dilated_group,
    dual_branch,
    inception_fsd,
    mobilenet,
    monkeynet,
    se_resnet_small,
    small_resnet7x7,
)

__all__ = [
    "classification_cnn",
    "convnet",
    "convnet5",
    "densenet7x7",
    "dilated_group",
    "dual_branch",
    "inception_fsd",
    "mobilenet",
    "monkeynet",
    "se_resnet_small",
    "small_resnet7x7",
]
