"""Optimizers through timm's factory, in their fused form where the device has one."""

import inspect
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_class, list_optimizers
from torch import nn

from foldwise.config import Optimizer
from foldwise.errors import UsageError, nearest

FUSED = {"cpu", "cuda", "mps"}  # devices for which torch has fused SGD, Adam and AdamW


def make_optimizer(
    network: nn.Module, settings: Optimizer, device: torch.device
) -> torch.optim.Optimizer:
    """Norms and biases get no weight decay. Raises UsageError for what the factory refuses."""
    options: dict[str, Any] = {}
    try:
        kind = get_optimizer_class(settings.name, bind_defaults=False)
    except ValueError as error:
        hint = nearest(settings.name, map(str, list_optimizers()))
        raise UsageError(f"optimizer.name={settings.name} is none of timm's{hint}") from error
    if settings.betas:
        own = inspect.signature(kind).parameters.get("betas")
        if own is None:  # timm would drop them in silence
            raise UsageError(f"optimizer.name={settings.name} takes no optimizer.betas")
        if len(own.default) != len(settings.betas):
            raise UsageError(
                f"optimizer.betas={settings.betas}: "
                f"{settings.name} takes {len(own.default)} numbers"
            )
        options["betas"] = tuple(settings.betas)
    if kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW) and device.type in FUSED:
        options["fused"] = True
    try:
        return create_optimizer_v2(
            network,
            opt=settings.name,
            lr=settings.lr,
            weight_decay=settings.weight_decay,
            momentum=settings.momentum,
            **options,
        )
    except (TypeError, ValueError, AssertionError, ImportError) as error:
        raise UsageError(f"optimizer.name={settings.name} does not build: {error}") from error
