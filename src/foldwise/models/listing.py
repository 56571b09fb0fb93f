"""`./run.sh models`: names with their sizes, counted without computing or storing a weight."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

import timm
import torch
from timm.models import get_arch_pretrained_cfgs
from torch.utils.flop_counter import FlopCounterMode

import foldwise.models  # noqa: F401  (registers our own architectures with timm)
from foldwise.config import Model
from foldwise.errors import UsageError, nearest
from foldwise.models.build import build_model
from foldwise.models.surgery import parameters

CLASSES = 10
NEIGHBOURS = ("resnet18", "resnet50", "resnet101", "resnext50_32x4d", "mobilenetv3_small_100")


@dataclass(frozen=True)
class Size:
    """``multiply_adds``: of one image; None where the model does not run at that size."""

    parameters: int
    multiply_adds: int | None


def size_of(settings: Model, side: int, classes: int = CLASSES) -> Size:
    """Parameters, and multiply-adds of an image of ``side`` x ``side``, on torch's meta device.

    Multiply-adds are those of convolutions and matrix products, as everybody counts them. Raises
    UsageError for settings that do not build.
    """
    with torch.device("meta"):
        network = build_model(settings, classes, side, first_weights=False).network.eval()
        with FlopCounterMode(display=False) as counter:
            try:
                network(torch.empty(1, settings.in_chans or 3, side, side))
            except (RuntimeError, ValueError, AssertionError):  # too small for it, or no multiple
                return Size(parameters(network), None)
    return Size(parameters(network), counter.get_total_flops() // 2)


def listing(match: str, size: str) -> Iterator[str]:
    """The table's lines, as they are counted. Raises UsageError for keys that make no sense."""
    if not re.fullmatch(r"\d+", size) or not 1 <= int(size) <= 4096:
        raise UsageError(f"size={size} is no number of pixels from 1 to 4096")
    names = matching(match)
    width = max(map(len, names))
    yield (
        f"{'model':<{width}} {'parameters':>12} {'multiply-adds':>14}  source   "
        f"({CLASSES} classes, {size} x {size} pixels)"
    )
    for name in names:
        try:
            found = size_of(Model(name=name), int(size))
        except (UsageError, RuntimeError, NotImplementedError) as error:
            reason = (str(error).splitlines() or [""])[0]
            yield f"{name:<{width}} {'-':>12} {'-':>14}  {source(name)}; {reason}"
            continue
        adds = "-" if found.multiply_adds is None else f"{found.multiply_adds / 1e6:,.1f} M"
        yield f"{name:<{width}} {found.parameters / 1e6:>10,.3f} M {adds:>14}  {source(name)}"
    if not match:
        others = len(timm.list_models()) - len(names)
        yield f"timm has {others:,} others: ./run.sh models match='resnet*'"


def matching(match: str) -> list[str]:
    """Model names of a pattern, or with that part; of "": ours and a few of timm's."""
    if not match:
        return [*(name for name in timm.list_models() if ours(name)), *NEIGHBOURS]
    pattern = match if set("*?[") & set(match) else f"*{match}*"
    names = [name for name in timm.list_models() if fnmatchcase(name, pattern)]
    if not names:
        raise UsageError(
            f"match={match}: there is no such model{nearest(match, timm.list_models())}"
        )
    return names


def ours(name: str) -> bool:
    return str(timm.model_entrypoint(name).__module__).startswith("foldwise.")


def source(name: str) -> str:
    """Who has the code, and whose weights there are."""
    who = "foldwise" if ours(name) else "timm"
    tags = [
        key.partition(".")[2] for key, c in get_arch_pretrained_cfgs(name).items() if c.has_weights
    ]
    more = f" and {len(tags) - 1} more" if len(tags) > 1 else ""
    return f"{who}, weights {tags[0] or 'untagged'}{more}" if tags else f"{who}, no weights"
