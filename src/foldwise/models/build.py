"""The one way from a config to a network."""

from dataclasses import dataclass

import timm
import torch
from timm.data import resolve_model_data_config
from timm.models import get_pretrained_cfg
from torch import nn

import foldwise.models  # noqa: F401  (registers our own architectures with timm)
from foldwise.config import Model
from foldwise.errors import FoldwiseError, UsageError, nearest
from foldwise.models.onepixel import one_pixel_as_linear


@dataclass(frozen=True)
class BuiltModel:
    """A network with the normalisation that it wants (of each channel, pixels scaled to 0..1)."""

    network: nn.Module
    mean: list[float]
    std: list[float]


def automatic_model(size: int) -> str:
    """The model when nobody names one: ours for small images, timm's resnet18 above 32 pixels."""
    return "convnet2" if size <= 32 else "resnet18"


def check_model(settings: Model) -> None:
    """Raises UsageError for a name that timm does not know, before anything is decoded."""
    if not timm.is_model(settings.name.split(".")[0]):
        hint = nearest(settings.name, timm.list_models())
        raise UsageError(f"model.name={settings.name} is no model of timm's or ours{hint}")


def build_model(settings: Model, classes: int, size: int) -> BuiltModel:
    """Build ``settings.name`` for images of (in_chans, size, size), with random or timm's weights.

    Raises UsageError for arguments that the model does not take, FoldwiseError for weights that
    cannot be had.
    """
    check_model(settings)
    options = dict(settings.args, num_classes=classes, in_chans=settings.in_chans or 3)
    if settings.drop_rate:
        options["drop_rate"] = settings.drop_rate
    if settings.drop_path_rate:
        options["drop_path_rate"] = settings.drop_path_rate
    try:
        known = get_pretrained_cfg(settings.name)
    except RuntimeError as error:  # a tag that the architecture does not have
        raise UsageError(f"model.name={settings.name} does not build: {error}") from error
    if known is not None and known.fixed_input_size:
        options.setdefault("img_size", size)
    try:
        network = timm.create_model(settings.name, pretrained=settings.pretrained, **options)
    except (TypeError, ValueError, AssertionError) as error:
        raise UsageError(f"model.name={settings.name} does not build: {error}") from error
    except (OSError, RuntimeError) as error:
        if not settings.pretrained:
            raise
        raise FoldwiseError(
            f"no pretrained weights for {settings.name} ({str(error).splitlines()[0]}): "
            "they need the network or timm's cache; model.pretrained=false starts from scratch"
        ) from error
    wanted = resolve_model_data_config(network)
    mean, std = list(wanted["mean"]), list(wanted["std"])
    images, rest = divmod(settings.in_chans or 3, 3)
    if rest:  # gray images
        mean, std = [sum(mean) / len(mean)], [sum(std) / len(std)]
        images = settings.in_chans
    return BuiltModel(network, mean * images, std * images)


def place(network: nn.Module, device: torch.device, channels_last: bool) -> nn.Module:
    """Put a network on the device in its fastest form; names and shapes of weights stay."""
    if device.type == "cpu":
        one_pixel_as_linear(network)
    memory = torch.channels_last if channels_last else torch.contiguous_format
    return network.to(device).to(memory_format=memory)
