"""The one way from a config to a network."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import get_pretrained_cfg
from torch import nn

import foldwise.models  # noqa: F401  (registers our own architectures with timm)
from foldwise.config import Model
from foldwise.errors import FoldwiseError, UsageError, nearest, out_of_memory
from foldwise.models.onepixel import one_pixel_as_linear
from foldwise.models.surgery import gem_pooling, mlp_head, parameters, small_stem, xavier_head
from foldwise.models.weights import Loaded, load_weights

RATES = ("drop_rate", "drop_path_rate", "drop_block_rate")  # settings, and timm's arguments


@dataclass(frozen=True)
class BuiltModel:
    """A network with the normalisation that it wants (of each channel, pixels scaled to 0..1).

    ``loaded``: what came from model.weights, where that is given.
    """

    network: nn.Module
    mean: list[float]
    std: list[float]
    loaded: Loaded | None = None


def automatic_model(size: int) -> str:
    """The model when nobody names one: ours for small images, timm's resnet18 above 32 pixels."""
    return "convnet2" if size <= 32 else "resnet18"


def check_model(settings: Model) -> None:
    """Raises UsageError for a name that timm does not know, before anything is decoded."""
    if not timm.is_model(settings.name.split(".")[0]):
        hint = nearest(settings.name, timm.list_models())
        raise UsageError(f"model.name={settings.name} is no model of timm's or ours{hint}")


def build_model(settings: Model, classes: int, size: int, first_weights: bool = True) -> BuiltModel:
    """Build ``settings.name`` for images of (in_chans, size, size), with all that model.* asks for.

    Weights are random, timm's, or those of model.weights. ``first_weights=False`` is for a network
    whose trained weights come next: neither of the latter is then looked for.
    Raises UsageError for settings that the model does not take or fit, FoldwiseError for weights
    that cannot be had.
    """
    check_model(settings)
    pretrained = settings.pretrained and first_weights and not settings.weights
    network = _create(settings, classes, size, pretrained)
    if settings.stem == "small":
        small_stem(network, keep_weights=pretrained)
    if settings.pool == "gem":
        gem_pooling(network)
    if settings.head == "mlp":
        mlp_head(network, classes, float(getattr(network, "drop_rate", max(0, settings.drop_rate))))
    if settings.head_init == "xavier":
        xavier_head(network)
    if settings.max_params and parameters(network) > settings.max_params:
        raise UsageError(
            f"model.max_params={settings.max_params:,.0f}: {settings.name} has "
            f"{parameters(network):,} parameters; ./run.sh models lists smaller ones"
        )
    loaded = None
    if settings.weights and first_weights:
        path = Path(settings.weights).expanduser()
        loaded = load_weights(network, path, settings.in_chans or 3)
    mean, std = _normalisation(network, settings.in_chans or 3)
    return BuiltModel(network, mean, std, loaded)


def _create(settings: Model, classes: int, size: int, pretrained: bool) -> nn.Module:
    """timm's create_model, with its errors as lines for people."""
    try:
        known = get_pretrained_cfg(settings.name)
    except RuntimeError as error:  # a tag that the architecture does not have
        raise UsageError(f"model.name={settings.name} does not build: {error}") from error
    if pretrained and (known is None or not known.has_weights):
        raise UsageError(
            f"model.pretrained=true: there are no weights for {settings.name}; model.name= takes a "
            "model of timm's that has some, model.weights=PATH a local file, and "
            "model.pretrained=false starts from scratch"
        )
    options = _options(settings, classes)
    if known is not None and known.fixed_input_size:
        options.setdefault("img_size", size)
    # Its lines about each of its tries would bury the one that says what to do.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return _made(settings.name, pretrained, options)
    except Exception as error:  # errors of arguments and of the network have no class in common
        wrong = isinstance(error, TypeError | ValueError | AssertionError | KeyError)
        if wrong or (settings.args and not pretrained and not out_of_memory(error)):
            reason = str(error) or f"it does not take one of {', '.join(options)}"
            raise UsageError(f"model.name={settings.name} does not build: {reason}") from error
        if not pretrained:
            raise
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise FoldwiseError(
            f"no pretrained weights for {settings.name} ({reason}): they need the network or "
            "timm's cache; without, model.weights=PATH takes a local file (.safetensors, .pth), "
            "model.pretrained=false starts from scratch"
        ) from error


def _made(name: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    """timm's create_model; a rate of 0 of what the model does not have is no error."""
    try:
        return timm.create_model(name, pretrained=pretrained, **options)
    except TypeError as error:
        lacking = [rate for rate in RATES if options.get(rate) == 0 and f"'{rate}'" in str(error)]
        if not lacking:
            raise
    rest = {key: value for key, value in options.items() if key not in lacking}
    return _made(name, pretrained, rest)


def _options(settings: Model, classes: int) -> dict[str, Any]:
    """What the settings say, as timm's arguments; model.args may hold any of them too."""
    options = dict(settings.args, num_classes=classes, in_chans=settings.in_chans or 3)
    for name in RATES:
        if getattr(settings, name) >= 0:
            options[name] = getattr(settings, name)
    if settings.pool not in ("own", "gem"):
        options["global_pool"] = settings.pool
    return options


def _normalisation(network: nn.Module, channels: int) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel: of a row's images, or gray ones."""
    wanted = resolve_model_data_config(network)
    mean, std = list(wanted["mean"]), list(wanted["std"])
    images, rest = divmod(channels, 3)
    if rest:  # gray images
        mean, std = [sum(mean) / len(mean)], [sum(std) / len(std)]
        images = channels
    return mean * images, std * images


def place(network: nn.Module, device: torch.device, channels_last: bool) -> nn.Module:
    """Put a network on the device in its fastest form; names and shapes of weights stay."""
    if device.type == "cpu":
        one_pixel_as_linear(network)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    return network.to(device).to(memory_format=memory)
