"""Optimizers through timm's factory, in their fused form where the device has one."""

import inspect
from typing import Any

import torch
from timm.optim import Lookahead, Muon, get_optimizer_class, list_optimizers
from timm.utils.agc import adaptive_clip_grad
from torch import nn

from foldwise.config import Optimizer
from foldwise.errors import UsageError, nearest
from foldwise.training.groups import parameter_groups

FUSED = {"cpu", "cuda", "mps"}  # devices for which torch has fused SGD, Adam and AdamW
SETTINGS = {"lr", "weight_decay", "momentum", "betas"}  # not to be said in optimizer.args


def make_optimizer(
    network: nn.Module, settings: Optimizer, device: torch.device
) -> torch.optim.Optimizer:
    """The optimizer over `groups.parameter_groups`. Raises UsageError for what timm refuses."""
    name = settings.name.lower().removeprefix("lookahead_")
    try:
        kind = get_optimizer_class(name, bind_defaults=False)
        make = get_optimizer_class(name)
    except ValueError as error:
        hint = nearest(settings.name, map(str, list_optimizers()))
        raise UsageError(f"optimizer.name={settings.name} is none of timm's{hint}") from error
    except (AssertionError, ImportError) as error:  # of apex and bitsandbytes
        raise UsageError(f"optimizer.name={settings.name} does not build: {error}") from error
    groups = parameter_groups(network, settings, hybrid=kind is Muon)
    options = _options(kind, settings, device)
    try:
        optimizer = make(groups, **options | settings.args)
        if name != settings.name.lower():
            optimizer = Lookahead(optimizer)
    except (TypeError, ValueError, AssertionError, ImportError, RuntimeError) as error:
        raise UsageError(f"optimizer.name={settings.name} does not build: {error}") from error
    if getattr(optimizer, "is_second_order", False):
        raise UsageError(
            f"optimizer.name={settings.name} needs second derivatives, which are not taken here"
        )
    return optimizer


def _options(kind: Any, settings: Optimizer, device: torch.device) -> dict[str, Any]:
    """The arguments that the settings stand for. Raises UsageError for what does not fit.

    By the signature: timm's create_optimizer_v2 up to 1.0.26 takes no betas for ADOPT, in silence.
    """
    for key in SETTINGS & set(settings.args):
        raise UsageError(f"optimizer.args has {key}, which is a setting: say optimizer.{key}")
    own = inspect.signature(kind).parameters
    options: dict[str, Any] = {"lr": settings.lr}
    if "momentum" in own:
        options["momentum"] = settings.momentum
    if settings.betas:
        if "betas" not in own:
            raise UsageError(f"optimizer.name={settings.name} takes no optimizer.betas")
        count = len(own["betas"].default or (0, 0))
        if len(settings.betas) != count:
            raise UsageError(
                f"optimizer.betas={settings.betas}: {settings.name} takes {count} numbers"
            )
        options["betas"] = tuple(settings.betas)
    if kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW) and device.type in FUSED:
        options["fused"] = True
    return options


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
