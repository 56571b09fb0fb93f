"""Changes to a network that timm has built: another stem, pooling or head, for every backbone."""

import torch
from timm.layers import SelectAdaptivePool2d
from torch import Tensor, nn
from torch.nn import functional

from foldwise.errors import UsageError
from foldwise.models.blocks import GeM

STEM_POOLS = ("maxpool", "features.pool0")  # where timm's resnets and densenets have theirs


def first_convs(network: nn.Module) -> tuple[str, ...]:
    """The names of the layers that see the image, as timm's pretrained config gives them."""
    found = getattr(network, "pretrained_cfg", {}).get("first_conv") or ()
    return (found,) if isinstance(found, str) else tuple(found)


def classifier_name(network: nn.Module) -> str:
    """Where the last layer is; "" in models with several."""
    classifier = network.get_classifier()  # type: ignore[operator]
    return next((name for name, module in network.named_modules() if module is classifier), "")


def small_stem(network: nn.Module, keep_weights: bool) -> None:
    """Give ``network`` a 3x3 first convolution of stride 1 and no max-pooling behind it, in place.

    As ResNets for CIFAR have (He et al., 2016): 32 pixels then end as 4x4 places, not as one.
    ``keep_weights``: the new kernels are the old ones, resized. Raises UsageError for a model that
    does not begin by halving with a plain convolution.
    """
    names = first_convs(network)
    old = network.get_submodule(names[0]) if len(names) == 1 else None
    if not isinstance(old, nn.Conv2d) or old.stride != (2, 2) or not 3 <= old.kernel_size[0] <= 7:
        raise UsageError(
            f"model.stem=small is for models whose first convolution halves the image; that of "
            f"{_name(network)} does not: use model.stem=own"
        )
    new = nn.Conv2d(old.in_channels, old.out_channels, 3, padding=1, bias=old.bias is not None)
    with torch.no_grad():
        if keep_weights:
            new.weight.copy_(resize_kernel(old.weight, 3))
            if old.bias is not None and new.bias is not None:
                new.bias.copy_(old.bias)
        else:
            nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    network.set_submodule(names[0], new)
    modules = dict(network.named_modules())
    for name in STEM_POOLS:
        if isinstance(modules.get(name), nn.MaxPool2d):
            network.set_submodule(name, nn.Identity())


def resize_kernel(weight: Tensor, size: int) -> Tensor:
    """Kernels (outputs, inputs, k, k) -> (outputs, inputs, size, size), for images enlarged less.

    The new kernel answers to a patch of size x size pixels exactly as the old one to that patch
    enlarged to k x k bilinearly (the resizing of Beyer et al., FlexiViT, 2023, in the direction in
    which it is exact): a network made for large images is mostly shown small ones enlarged, and
    this leaves out the enlarging. The sum of a kernel stays, so even areas and the norms behind
    them see what they are used to; the middle 3x3 of a 7x7 kernel has neither property.
    """
    outputs, inputs, old, _ = weight.shape
    unit = torch.eye(size * size, dtype=torch.float32, device=weight.device)
    patches = unit.reshape(size * size, 1, size, size)
    enlarged = functional.interpolate(patches, (old, old), mode="bilinear").flatten(1)
    resized = weight.float().flatten(2) @ enlarged.T
    return resized.reshape(outputs, inputs, size, size).to(weight.dtype)


def gem_pooling(network: nn.Module) -> None:
    """Put GeM wherever ``network`` pools a map to places. Raises UsageError where it never does."""
    pools = [m for m in network.modules() if isinstance(m, SelectAdaptivePool2d) and m.pool_type]
    if not pools:
        raise UsageError(f"model.pool=gem: {_name(network)} pools no map; use model.pool=own")
    for pool in pools:
        pool.add_module("pool", GeM.like(pool.pool))
        pool.pool_type = "gem"  # so that reset_classifier refuses to make another in its place


def mlp_head(network: nn.Module, classes: int, drop_rate: float) -> None:
    """Replace the last layer by two: linear to half, ReLU, BN, dropout of half the rate, linear.

    The dropout before them, of the whole rate, is the network's own. Raises UsageError for a model
    with several last layers.
    """
    name = classifier_name(network)
    old = network.get_submodule(name)
    if not isinstance(old, nn.Linear | nn.Conv2d):
        raise UsageError(
            f"{_name(network)} has no single last layer to replace: use model.head=own"
        )
    features = old.in_features if isinstance(old, nn.Linear) else old.weight.shape[1]
    flat: list[nn.Module] = [] if isinstance(old, nn.Linear) else [nn.Flatten(1)]
    layers = [
        *flat,
        nn.Linear(features, features // 2),
        nn.ReLU(inplace=True),
        nn.BatchNorm1d(features // 2),
        nn.Dropout(drop_rate / 2),
        nn.Linear(features // 2, classes),
    ]
    network.set_submodule(name, nn.Sequential(*layers))


def xavier_head(network: nn.Module) -> None:
    """Draw the last layers' weights as Glorot and Bengio (2010) do, biases 0."""
    for module in network.get_classifier().modules():  # type: ignore[operator]
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def parameters(network: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(weight.numel() for weight in network.parameters())


def _name(network: nn.Module) -> str:
    return str(getattr(network, "pretrained_cfg", {}).get("architecture", "this model"))
