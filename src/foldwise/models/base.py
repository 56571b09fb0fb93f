"""What our architectures have in common with timm's: the head, and the methods of a model."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from timm.layers import ClassifierHead, SelectAdaptivePool2d, get_act_layer
from torch import Tensor, nn


class Architecture(nn.Module):
    """A trunk, which is the subclass's ``forward_features``, and a head behind it.

    Everything that foldwise and timm ask of a model is here once: layer-wise groups, the
    classifier and its replacement, features before and after pooling.
    """

    GROUPS: ClassVar[dict[str, Any]] = {"stem": r"^stem", "blocks": r"^stages\.(\d+)\.(\d+)"}

    head: "ClassifierHead | GridHead"
    # The trunk: (batch, in_chans, height, width) -> the last map, (batch, num_features, …).
    forward_features: Callable[..., Tensor]

    def add_head(self, head: "ClassifierHead | GridHead", drop_rate: float) -> None:
        """Put ``head`` behind the trunk and draw the weights of the convolutions; called last."""
        self.head, self.drop_rate = head, drop_rate
        self.num_features, self.head_hidden_size = head.in_features, _width(head)
        self.num_classes = getattr(head.fc, "out_features", 0)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """timm's grouping of parameters by depth, for layer-wise learning rates and freezing."""
        return self.GROUPS

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """A new last layer; 0 classes: none, the model then gives what goes into it."""
        self.num_classes = num_classes
        self.head.reset(num_classes, global_pool)
        self.head_hidden_size = _width(self.head)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """The last map -> logits (batch, num_classes), or (batch, head_hidden_size) before them."""
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))


class GridHead(nn.Module):
    """Two linear layers on a map that is pooled to a grid, so that any image size fits them.

    Pooling to (grid, grid), flattening, linear to ``hidden``, activation, dropout, linear.
    ``num_features`` is the width before the last layer, as in timm's heads; ``pool_type=""``: the
    maps are of the grid's size already.
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        grid: int,
        hidden: int,
        pool_type: str = "avg",
        drop_rate: float = 0.0,
        act_layer: str = "relu",
    ) -> None:
        super().__init__()
        self.in_features, self.num_features, self.grid = in_features, hidden, grid
        self.global_pool = SelectAdaptivePool2d(grid, pool_type, flatten=True)
        width = in_features * self.global_pool.feat_mult() * grid**2
        self.hidden = nn.Sequential(nn.Linear(width, hidden), get_act_layer(act_layer)())
        self.drop = nn.Dropout(drop_rate)
        self.fc = self._classifier(num_classes)

    def _classifier(self, num_classes: int) -> nn.Module:
        return nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()

    def reset(self, num_classes: int, pool_type: str | None = None) -> None:
        """A new last layer (0: none), and another pooling of the same width."""
        first: Tensor = self.hidden[0].weight  # type: ignore[assignment]
        if pool_type is not None:
            pool = SelectAdaptivePool2d(self.grid, pool_type, flatten=True)
            if self.in_features * pool.feat_mult() * self.grid**2 != first.shape[1]:
                raise ValueError(f"pooling by {pool_type} has another width than this model's")
            self.global_pool = pool
        self.fc = self._classifier(num_classes).to(first.device, first.dtype)

    def forward(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """(batch, in_features, height, width) -> (batch, num_classes), or (batch, hidden)."""
        x = self.drop(self.hidden(self.global_pool(x)))
        return x if pre_logits else self.fc(x)


def _width(head: ClassifierHead | GridHead) -> int:
    """What goes into the last layer (timm 1.0.26's head does not say it)."""
    if isinstance(head, GridHead):
        return head.num_features
    return head.in_features * head.global_pool.feat_mult()


def untrained(first_conv: str | tuple[str, ...], **others: Any) -> dict[str, Any]:
    """timm's pretrained config of an architecture that has no weights, for 32-pixel images."""
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 32, 32),
        "pool_size": None,
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
        "first_conv": first_conv,
        "classifier": "head.fc",
        **others,
    }
