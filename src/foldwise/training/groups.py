"""Parameter groups: what is decayed, how fast each layer learns, and what stands still at first."""

from typing import Any

import torch
from timm.optim import param_groups_layer_decay, param_groups_weight_decay
from torch import nn

from foldwise.config import Optimizer
from foldwise.models.surgery import first_convs


def parameter_groups(
    network: nn.Module, settings: Optimizer, hybrid: bool = False
) -> list[dict[str, Any]]:
    """Every parameter that learns, in exactly one group, with its ``weight_decay``.

    No weight decay on norms, biases, and what the model itself leaves out. ``lr_scale``, where a
    group has one, multiplies its learning rate: optimizer.layer_decay to the number of layers
    behind its own (as for BEiT: Bao et al., 2022), and optimizer.head_lr in the groups of the last
    layer, which are marked by ``head`` as soon as a setting tells it from the others. Layers are
    timm's: by the model's own group_matcher, or by twelve parameters where it has none.
    ``hybrid``: in Muon, matrices of the first and the last layer and of embeddings are marked by
    ``use_fallback``.
    """
    options: dict[str, Any] = {"weight_decay": settings.weight_decay}
    options["no_weight_decay_list"] = getattr(network, "no_weight_decay", set)()
    if hybrid:
        outer = [f"{name}.*" for name in first_convs(network)] + sorted(head_names(network))
        options |= {"fallback_list": outer, "fallback_no_weight_decay": True}
    if settings.layer_decay < 1:
        decay = settings.layer_decay
        groups = param_groups_layer_decay(network, layer_decay=decay, **options)
    else:
        groups = param_groups_weight_decay(network, **options)
    if settings.head_lr != 1 or settings.freeze_epochs or settings.clip_mode == "agc":
        groups = [part for group in groups for part in _parted(network, group, settings.head_lr)]
    return groups


def _parted(network: nn.Module, group: dict[str, Any], head_lr: float) -> list[dict[str, Any]]:
    """A group as two: the last layer's parameters, and the others."""
    last = {id(weight) for weight in _head(network)}
    inside = [weight for weight in group["params"] if id(weight) in last]
    others = [weight for weight in group["params"] if id(weight) not in last]
    parts = [
        group | {"params": others, "head": False},
        group | {"params": inside, "head": True, "lr_scale": head_lr},
    ]
    return [part for part in parts if part["params"]]


def head_names(network: nn.Module) -> set[str]:
    """The names of the last layer's parameters; of all last layers, where there are several."""
    last = {id(weight) for weight in _head(network)}
    return {name for name, weight in network.named_parameters() if id(weight) in last}


def _last_layers(network: nn.Module) -> tuple[nn.Module, ...]:
    found = network.get_classifier()  # type: ignore[operator]
    return found if isinstance(found, tuple) else (found,)


def _head(network: nn.Module) -> list[nn.Parameter]:
    return [weight for layer in _last_layers(network) for weight in layer.parameters()]


def freeze(network: nn.Module, optimizer: torch.optim.Optimizer, frozen: bool) -> None:
    """Let only the last layer learn, or everything that the ``optimizer`` has.

    Norms that stand still also keep their running statistics, until ``network.train()`` is called.
    A frozen parameter has no gradient, so that its state in the optimizer begins when it thaws.
    """
    for group in optimizer.param_groups:
        for weight in group["params"]:
            weight.requires_grad_(group["head"] or not frozen)
    inside = {module for layer in _last_layers(network) for module in layer.modules()}
    for module in network.modules():
        running = any(name.startswith("running_") for name, _ in module.named_buffers("", False))
        if running and module not in inside:
            module.train(not frozen)
