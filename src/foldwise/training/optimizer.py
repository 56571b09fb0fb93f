"""Optimizers through timm's factory, in their fused form where the device has one."""

import inspect
from typing import Any

import torch
from timm.optim import Muon, create_optimizer_v2, get_optimizer_class, list_optimizers
from timm.utils.agc import adaptive_clip_grad
from torch import nn

from foldwise.config import Optimizer
from foldwise.errors import UsageError, nearest
from foldwise.training.groups import parameter_groups

FUSED = {"cpu", "cuda", "mps"}  # devices for which torch has fused SGD, Adam and AdamW


def make_optimizer(
    network: nn.Module, settings: Optimizer, device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer of `groups.parameter_groups`. Raises UsageError for what timm refuses."""
    kind = _class_of(settings.name)
    options: dict[str, Any] = {}
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
        optimizer = create_optimizer_v2(
            parameter_groups(network, settings, hybrid=kind is Muon),
            opt=settings.name,
            lr=settings.lr,
            momentum=settings.momentum,
            **options | settings.args,
        )
    except (TypeError, ValueError, AssertionError, ImportError, RuntimeError) as error:
        raise UsageError(f"optimizer.name={settings.name} does not build: {error}") from error
    if getattr(optimizer, "is_second_order", False):
        raise UsageError(
            f"optimizer.name={settings.name} needs second derivatives, which are not taken here"
        )
    return optimizer


def _class_of(name: str) -> type[torch.optim.Optimizer]:
    """The class that timm has under ``name``. Raises UsageError where it has or finds none."""
    plain = name.lower().removeprefix("lookahead_")
    try:
        return get_optimizer_class(plain, bind_defaults=False)  # type: ignore[return-value]
    except ValueError as error:
        hint = nearest(name, map(str, list_optimizers()))
        raise UsageError(f"optimizer.name={name} is none of timm's{hint}") from error
    except (AssertionError, ImportError) as error:  # of apex and bitsandbytes
        raise UsageError(f"optimizer.name={name} does not build: {error}") from error


def set_rates(optimizer: torch.optim.Optimizer, rate: float, momentum: float | None) -> None:
    """The learning rate of the next update, times each group's lr_scale.

    ``momentum`` goes where a one-cycle puts it: into momentum, or the first of the betas.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
        if "adamw_lr" in group:  # timm's Muon up to 1.0.26 would leave it at the peak
            group["adamw_lr"] = group["lr"]
        if momentum is not None and "momentum" in group:
            group["momentum"] = momentum
        elif momentum is not None and "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])


def clip_gradients(
    network: nn.Module, optimizer: torch.optim.Optimizer, settings: Optimizer
) -> None:
    """Limit the gradients in place, without waiting for the device.

    norm: all of them together to a norm of optimizer.clip (Pascanu et al., 2013). value: each
    number to ±clip. agc: those of each output (row or kernel) to clip times the norm of its
    weights, which counts as 0.001 at least; the last layer is left alone (Brock et al.,
    High-Performance Large-Scale Image Recognition Without Normalization, 2021).
    """
    if settings.clip_mode == "norm":
        torch.nn.utils.clip_grad_norm_(network.parameters(), settings.clip)
    elif settings.clip_mode == "value":
        torch.nn.utils.clip_grad_value_(network.parameters(), settings.clip)
    else:
        for group in optimizer.param_groups:
            if not group["head"]:
                adaptive_clip_grad(group["params"], settings.clip)
