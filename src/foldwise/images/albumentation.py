"""Our settings and a user's pipeline as albumentations' transforms.

Its traps: a wrong argument only warns and is ignored, and it has no Cutout or RandAugment. Here
unknown names are errors, and the two are built from its parts.
"""

import inspect
import math
import os
import warnings
from collections.abc import Callable
from typing import Any

from foldwise.config import Augment
from foldwise.errors import UsageError, nearest
from foldwise.images.colour import GRAY
from foldwise.images.processor import BORDERS

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it would ask the network for its version

ABSTRACT = ("BasicTransform", "DualTransform", "ImageOnlyTransform", "Transform3D", "BaseCompose")


def compose(settings: Augment, size: int, channels: int) -> Any:
    """A Compose for uint8 images of 1 or 3 ``channels``. Raises UsageError."""
    import albumentations as A

    chain = [transform(spec) for spec in settings.pipeline]
    if settings.on == "cpu":
        chain += [*_geometry(settings, size), *_colour(settings, channels)]
    chain += _processor_only(settings, size)
    if settings.on == "cpu":
        chain += _damage(settings)
    return A.Compose(chain)


def transform(spec: Any) -> Any:
    """``Name``, or ``{Name: {argument: value}}``, as a transform; ``transforms`` are such a list.

    Raises UsageError for an unknown name or argument, and for a value that is refused.
    """
    if isinstance(spec, str):
        spec = {spec: {}}
    if not isinstance(spec, dict) or len(spec) != 1:
        raise UsageError(
            f"augment.pipeline: {spec} is not a transform; write Name, or Name: {{argument: value}}"
        )
    ((name, arguments),) = spec.items()
    arguments = {} if arguments is None else arguments
    make = _maker(str(name))
    if not isinstance(arguments, dict):
        raise UsageError(f"augment.pipeline: {name}: {arguments} is not {{argument: value}}")
    known = [p for p in inspect.signature(make).parameters if p not in ("self", "args", "kwargs")]
    for key in arguments:
        if key not in known:
            raise UsageError(
                f"augment.pipeline: {name} has no argument '{key}'"
                f"{nearest(str(key), known) or '; it has ' + ', '.join(known)}"
            )
    values = {key: _value(key, value) for key, value in arguments.items()}
    return _made(name, make, values)


def _maker(name: str) -> Callable[..., Any]:
    import albumentations as A

    kinds = (A.BasicTransform, A.BaseCompose)
    known: dict[str, Callable[..., Any]] = {
        word: kind
        for word, kind in vars(A).items()
        if isinstance(kind, type) and issubclass(kind, kinds) and word not in ABSTRACT
    }
    known |= {"Cutout": cutout, "RandAugment": randaugment}
    if name not in known:
        raise UsageError(f"augment.pipeline: there is no transform '{name}'{nearest(name, known)}")
    return known[name]


def _value(key: str, value: Any) -> Any:
    if key == "transforms":
        if not isinstance(value, list):
            raise UsageError(f"augment.pipeline: transforms={value} is not a list of transforms")
        return [transform(spec) for spec in value]
    return tuple(_value("", item) for item in value) if isinstance(value, list) else value


def _made(name: str, make: Callable[..., Any], values: dict[str, Any]) -> Any:
    shown = f"augment.pipeline: {name}({', '.join(f'{k}={v}' for k, v in values.items())})"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            made = make(**values)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{shown}: {_reason(error)}") from error
    for warning in said:  # what it warns of, it ignores
        if "not valid" in str(warning.message):
            raise UsageError(f"{shown}: {warning.message}")
    return made


def _reason(error: Exception) -> str:
    """pydantic's report (field, then reason, then an address) as one line."""
    lines = [line.split(" [type=")[0].strip() for line in str(error).splitlines()]
    lines = [line for line in lines if "validation error" not in line and "https://" not in line]
    return ": ".join(lines[:2])


def _geometry(settings: Augment, size: int) -> list[Any]:
    import albumentations as A

    s, border = settings, BORDERS[settings.border]
    chain = []
    if s.downscale:
        chain.append(A.Downscale(scale_range=(s.downscale_to, 1.0), p=s.downscale))
    if s.hflip:
        chain.append(A.HorizontalFlip(p=s.hflip))
    if s.vflip:
        chain.append(A.VerticalFlip(p=s.vflip))
    if s.rotate90:
        chain.append(A.RandomRotate90(p=s.rotate90))
    if s.shift or s.rotate or s.scale or s.shear:
        chain.append(
            A.Affine(
                scale=(1 - s.scale, 1 + s.scale), translate_percent=(-s.shift, s.shift),
                rotate=(-s.rotate, s.rotate), shear=(-s.shear, s.shear), keep_ratio=True,
                border_mode=border, p=s.affine_prob,
            )
        )  # fmt: skip
    if s.scales:
        zooms = [A.Affine(scale=(zoom, zoom), border_mode=border, p=1) for zoom in s.scales]
        chain.append(A.OneOf(zooms, p=s.affine_prob))
    if s.perspective:
        reach = (0.0, s.perspective / 2)
        chain.append(A.Perspective(scale=reach, border_mode=border, p=s.perspective_prob))
    if s.crop < 1:
        ratio = (1 / s.crop_ratio, s.crop_ratio)
        chain.append(A.RandomResizedCrop(size=(size, size), scale=(s.crop, 1), ratio=ratio, p=1))
    return chain


def _colour(settings: Augment, channels: int) -> list[Any]:
    import albumentations as A

    s = settings
    chain = []
    if s.blur:
        chain.append(A.GaussianBlur(blur_limit=0, sigma_limit=(0.1, s.blur_sigma), p=s.blur))
    saturation, hue = (s.saturation, s.hue) if channels == 3 else (0.0, 0.0)
    if s.brightness or s.contrast or saturation or hue:
        chain.append(
            A.ColorJitter(
                brightness=(1 - s.brightness, 1 + s.brightness),
                contrast=(1 - s.contrast, 1 + s.contrast),
                saturation=(1 - saturation, 1 + saturation), hue=(-hue, hue), p=s.jitter_prob,
            )
        )  # fmt: skip
    return chain


def _processor_only(settings: Augment, size: int) -> list[Any]:
    import albumentations as A

    s = settings
    chain = []
    if s.clahe:
        tiles = max(1, min(8, size // 16))  # less than 16 pixels a side make no histogram
        chain.append(A.CLAHE((1, s.clahe_clip), tile_grid_size=(tiles, tiles), p=s.clahe))
    if s.randaugment:
        chain.append(randaugment(s.randaugment, s.magnitude))
    if s.jpeg:
        chain.append(A.ImageCompression(quality_range=(s.jpeg_quality, 100), p=s.jpeg))
    return chain


def _damage(settings: Augment) -> list[Any]:
    import albumentations as A

    s = settings
    chain = []
    if s.cutout:
        chain.append(cutout(s.cutout_holes, s.cutout_size, s.cutout))
    if s.erase:
        chain.append(A.Erasing(scale=(0.02, s.erase_area), fill="random", p=s.erase))
    if s.noise:
        chain.append(A.GaussNoise(std_range=(0.0, s.noise_std), p=s.noise))
    return chain


def cutout(holes: int = 1, size: float = 0.25, p: float = 0.5) -> Any:
    """Gray squares of a share of the side (DeVries and Taylor, 2017); here inside the image."""
    import albumentations as A

    side = (size, size)
    return A.CoarseDropout(
        num_holes_range=(1, holes), hole_height_range=side, hole_width_range=side, fill=GRAY, p=p
    )


def randaugment(n: int = 2, magnitude: float = 9.0, p: float = 1.0) -> Any:
    """``n`` of 14 operations, each at ``magnitude`` 0..30, in random order, repeats allowed.

    (Cubuk et al., "RandAugment", 2019; the ranges are those of torchvision.)
    """
    import albumentations as A

    share = magnitude / 30
    strength, lean = 0.9 * share, math.degrees(math.atan(0.3 * share))
    way = 150 / 331 * share

    def both(make: Callable[[float], Any], reach: float) -> Any:
        return A.OneOf([make(reach), make(-reach)], p=1)

    def jitter(name: str) -> Any:
        calm = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
        return both(lambda d: A.ColorJitter(**{**calm, name: (1 + d, 1 + d)}, p=1), strength)

    def moved(name: str, axis: str, reach: float) -> Any:
        rest = {"x": (0, 0), "y": (0, 0)}
        return both(lambda d: A.Affine(**{name: {**rest, axis: (d, d)}}, p=1), reach)

    operations = [
        A.NoOp(p=1),
        A.AutoContrast(p=1),
        A.Equalize(p=1),
        both(lambda d: A.Affine(rotate=(d, d), p=1), 30 * share),
        A.Solarize(threshold_range=(1 - share, 1 - share), p=1),
        A.Posterize(num_bits=8 - round(4 * share), p=1),
        *(jitter(name) for name in ("saturation", "contrast", "brightness")),
        A.OneOf(
            [A.Sharpen(alpha=(strength, strength), lightness=(1, 1), p=1), A.Blur(3, p=1)], p=1
        ),
        *(moved("shear", axis, lean) for axis in "xy"),
        *(moved("translate_percent", axis, way) for axis in "xy"),
    ]
    return A.RandomOrder(operations, n=n, replace=True, p=p)
