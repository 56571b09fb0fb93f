"""Where a network looks: Grad-CAM, for convolutions and transformers alike."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

SIDE = 4  # places a side that a map should have at least: deeper ones of small images have fewer
TRIES = 4  # layers that are tried until one is found that the outputs depend on


def grad_cam(network: nn.Module, pixels: Tensor, chosen: Tensor) -> np.ndarray:
    """Heat maps, float32 (n, height, width) from 0 to 1, of what speaks for an output.

    ``pixels``: what the network takes, (n, channels, height, width); ``chosen``: int64 (n,), the
    output of each image. The maps have the size of the deepest layer whose features still have
    SIDE x SIDE places (where none has, of the one with most); the channels are weighted by the mean
    of the output's gradient, and only what speaks for the output is kept (Selvaraju et al., 2017).
    Of a transformer's tokens those that stand for a place are taken, before the last layer that
    mixes them. A map of zeros: nothing there speaks for it. The network is left as it was.
    Raises ValueError where no layer has a map.
    """
    training = network.training
    network.eval()
    try:
        for layer in deepest_maps(network, pixels[:1])[:TRIES]:
            features, gradients = _gradients(network, layer, pixels, chosen)
            if gradients.any():  # else only a class token is read behind this layer
                break
    finally:
        network.train(training)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    maps = (weights * features).sum(dim=1).clamp(min=0)
    largest = maps.amax(dim=(1, 2), keepdim=True)
    return (maps / largest.clamp(min=1e-12)).float().cpu().numpy()


def deepest_maps(network: nn.Module, pixels: Tensor) -> list[nn.Module]:
    """The modules whose output is a map of SIDE x SIDE places, or else of most, the last first.

    ``pixels``: one image. Raises ValueError where no module's output is a map.
    """
    seen: list[tuple[nn.Module, int]] = []

    def look(module: nn.Module, _: Any, output: Any) -> None:
        places = _as_map(network, output)
        whole = places is not None and len(places) == len(pixels)
        if places is not None and whole and (output.ndim == 4 or "Norm" in type(module).__name__):
            seen.append((module, min(places.shape[2:])))

    hooks = [m.register_forward_hook(look) for m in network.modules() if m is not network]
    try:
        with torch.no_grad():
            network(pixels)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise ValueError("no layer of the network has a map of features")
    enough = min(SIDE, max(side for _, side in seen))
    return list(dict.fromkeys(module for module, side in reversed(seen) if side >= enough))


def _gradients(
    network: nn.Module, layer: nn.Module, pixels: Tensor, chosen: Tensor
) -> tuple[Tensor, Tensor]:
    """The layer's features and the gradient of the chosen outputs, both (n, channels, h, w)."""
    kept: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1].clone()  # what comes next may work in place

    hook = layer.register_forward_hook(keep)
    try:
        with torch.enable_grad():
            outputs = network(pixels).float()
            score = outputs.gather(1, chosen[:, None]).sum()
            (gradient,) = torch.autograd.grad(score, kept[-1], allow_unused=True)
    finally:
        hook.remove()
    if gradient is None:
        gradient = torch.zeros_like(kept[-1])
    features, slopes = _as_map(network, kept[-1].detach()), _as_map(network, gradient)
    assert features is not None and slopes is not None
    return features, slopes


def _as_map(network: nn.Module, output: Any) -> Tensor | None:
    """A layer's output as (n, channels, height, width); None where it has no two axes of places."""
    if not isinstance(output, Tensor) or not output.is_floating_point():
        return None
    if output.ndim == 4 and not hasattr(network, "num_prefix_tokens"):  # those: heads of attention
        if getattr(network, "output_fmt", "NCHW") == "NHWC":
            output = output.permute(0, 3, 1, 2)
        return output if min(output.shape[2:]) > 1 else None
    if output.ndim == 3:
        before = getattr(network, "num_prefix_tokens", 0)  # the class token and such
        side = math.isqrt(max(output.shape[1] - before, 0))
        if side > 1 and side * side == output.shape[1] - before:
            return output[:, before:].transpose(1, 2).unflatten(2, (side, side))
    return None
