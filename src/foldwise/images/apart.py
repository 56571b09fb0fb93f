"""Each augmentation of the settings by itself, on every image: to be looked at."""

from dataclasses import dataclass, replace
from typing import Any

from foldwise.config import Augment

# What augments, in the order in which it happens, with the settings that say more about it.
SETTINGS: dict[str, tuple[str, ...]] = {
    "clahe": ("clahe_clip",),
    "randaugment": ("magnitude",),
    "jpeg": ("jpeg_quality",),
    "downscale": ("downscale_to",),
    "hflip": (),
    "vflip": (),
    "rotate90": (),
    "scale": ("affine_prob",),
    "scales": ("affine_prob",),
    "shear": ("affine_prob",),
    "rotate": ("affine_prob",),
    "shift": ("affine_prob",),
    "perspective": ("perspective_prob",),
    "crop": ("crop_ratio",),
    "blur": ("blur_sigma",),
    "brightness": ("jitter_prob",),
    "contrast": ("jitter_prob",),
    "saturation": ("jitter_prob",),
    "hue": ("jitter_prob",),
    "cutout": ("cutout_holes", "cutout_size"),
    "erase": ("erase_area",),
    "noise": ("noise_std",),
    "mixup": ("mix_prob",),
    "cutmix": ("mix_prob",),
}
PROBABILITIES = (
    *("clahe", "jpeg", "downscale", "hflip", "vflip", "rotate90", "blur", "cutout", "erase"),
    "noise",
)
RESIZING = ("Resize", "LongestMaxSize", "SmallestMaxSize", "Pad", "PadIfNeeded")
VARIED = ("randaugment", "mixup", "cutmix")
ALWAYS: dict[str, Any] = {
    **{"affine_prob": 1.0, "perspective_prob": 1.0, "jitter_prob": 1.0},
    **{"mix_prob": 1.0, "mix_by": "image"},
}
NOTHING = Augment(shift=0.0)


@dataclass(frozen=True)
class Part:
    """One augmentation: how it is written, and settings with which it happens to every image.

    ``varied``: draws differ in kind rather than in strength. ``after``: the same after what the
    pipeline makes of the images' size, for a transform that wants that.
    """

    name: str
    detail: str
    settings: Augment
    varied: bool = False
    after: Augment | None = None


def parts_of(settings: Augment) -> list[Part]:
    """The augmentations that the settings ask for, in the order in which they happen."""
    rest: dict[str, Any] = {name: getattr(NOTHING, name) for name in (*SETTINGS, "pipeline")}
    nothing = replace(settings, **rest, **ALWAYS)
    found = []
    resizing: list[Any] = []
    for name, arguments in map(_read, settings.pipeline):
        detail = " ".join(f"{key}={_short(value)}" for key, value in arguments.items())
        certain = {name: {**arguments, "p": 1.0}}
        alone = replace(nothing, pipeline=[certain])
        after = replace(nothing, pipeline=[*resizing, certain])
        found.append(Part(name, detail, alone, after=after))
        resizing += [certain] if name in RESIZING else []
    for name, more in SETTINGS.items():
        value = getattr(settings, name)
        if value == getattr(NOTHING, name):
            continue
        strength: dict[str, Any] = {name: 1.0 if name in PROBABILITIES else value}
        said = {key: getattr(settings, key) for key in more}
        said = {key: known for key, known in said.items() if ALWAYS.get(key) != known}
        detail = " ".join(f"{key}={_short(known)}" for key, known in said.items())
        alone = replace(nothing, **strength)
        found.append(Part(f"{name}={_short(value)}", detail, alone, varied=name in VARIED))
    return found


def _read(spec: Any) -> tuple[str, dict[str, Any]]:
    """A transform's name and arguments, as `albumentation.transform` takes them."""
    if isinstance(spec, str):
        return spec, {}
    ((name, arguments),) = spec.items()
    return str(name), arguments or {}


def _short(value: Any) -> str:
    """A number, a list of them, or the names of transforms."""
    if isinstance(value, list):
        return ", ".join(_short(item) for item in value)
    if isinstance(value, dict):
        return _read(value)[0]
    return f"{value:g}" if isinstance(value, int | float) else str(value)
