"""Augmentation beside torchvision, albumentations and Kornia, side by side in one process.

    .venv/bin/python tests/benchmarks/bench_augment.py [small] [kornia] [--rounds 5] [--page]

small: 32-pixel images in memory to normalised batches of 256, with flips, crops shifted by up to 3
pixels, cutout and colour jitter. Ours, and a DataLoader with 2 workers over torchvision v2 and over
albumentations (a few batches pass before the clock runs); always on the CPU.

kornia: uint8 batches on the device (the GPU where there is one) to normalised ones, by the same
operations at the same strengths; `pip install kornia` first.

All take turns, each for about --seconds; a ratio is that of one round, so a machine that drifts
does little to it. The tables have the median of the rounds and, in brackets, the lowest and
highest; --page puts them into docs/augmentation.md.
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import numpy as np
import torch
from figures import DOCS, into_page, machine, markdown
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from turns import Work, ratios, speed, spread, take_turns, versions, waiter

from foldwise.config import Augment, Train
from foldwise.device import prepare
from foldwise.images.augment import Normalize, augment
from foldwise.images.load import ResidentImages

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SIDE, BATCH, COUNT, SHIFT = 32, 256, 10_240, 3


def small_ours(images: Tensor) -> Work:
    settings = Augment(
        hflip=0.5, shift=0.1, cutout=0.5, cutout_size=0.25,
        brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05,
    )  # fmt: skip
    source = ResidentImages(images)
    normalize = Normalize(MEAN, STD, images.device, channels_last=True)
    while True:
        order = np.random.default_rng().permutation(len(images))
        for batch in source.batches(np.split(order, len(order) // BATCH)):
            yield len(normalize(augment(batch, settings)))


class Torchvision(Dataset):
    def __init__(self, images: Tensor) -> None:
        from torchvision.transforms import v2

        self.images = images.permute(0, 3, 1, 2).contiguous()
        self.transform = v2.Compose([
            v2.RandomHorizontalFlip(0.5),
            v2.RandomCrop(SIDE, padding=SHIFT, padding_mode="edge"),
            v2.ColorJitter(0.2, 0.2, 0.2, 0.05),
            v2.RandomErasing(0.5, scale=(1 / 16, 1 / 16), ratio=(1, 1), value=128),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(self.images[index])


class Albumentations(Dataset):
    def __init__(self, images: Tensor) -> None:
        import albumentations as A

        self.images = images.numpy()
        self.transform = A.Compose([
            A.HorizontalFlip(p=0.5),
            A.PadIfNeeded(SIDE + 2 * SHIFT, SIDE + 2 * SHIFT, border_mode=1),
            A.RandomCrop(SIDE, SIDE),
            A.ColorJitter((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.05, 0.05), p=1),
            A.CoarseDropout((1, 1), (0.25, 0.25), (0.25, 0.25), fill=128, p=0.5),
            A.Normalize(MEAN, STD),
            A.ToTensorV2(),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(image=self.images[index])["image"]


def loader(dataset: Dataset) -> Work:
    endless = RandomSampler(dataset, num_samples=10**9)
    yield from map(len, DataLoader(dataset, BATCH, sampler=endless, num_workers=2))


# The same for both, in Kornia's words and in ours; chances are of one image.
PLAIN = Augment(
    hflip=0.5, shift=0.1, rotate=15, scale=0.1,
    brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05,
)  # fmt: skip
MORE = Augment(
    hflip=0.5, shift=0.1, rotate=15, scale=0.1, shear=5, perspective=0.2, perspective_prob=0.5,
    brightness=0.2, contrast=0.2, saturation=0.2, hue=0.05,
    blur=0.2, blur_sigma=2, erase=0.3, erase_area=0.2, noise=0.2, noise_std=0.05,
)  # fmt: skip


def device_ours(images: Tensor, settings: Augment) -> Work:
    normalize = Normalize(MEAN, STD, images.device, channels_last=True)
    half = torch.float16 if images.device.type == "cuda" else torch.float32
    while True:
        yield len(normalize(augment(images, settings, half)))


def device_kornia(images: Tensor, more: bool) -> Work:
    import kornia.augmentation as K

    shear = 5.0 if more else None
    chain = [
        K.RandomHorizontalFlip(p=0.5),
        K.RandomAffine(15.0, (0.1, 0.1), (0.9, 1.1), shear, padding_mode="border", p=1.0),
        *([K.RandomPerspective(0.2, p=0.5)] if more else []),
        *([K.RandomGaussianBlur((13, 13), (0.1, 2.0), p=0.2)] if more else []),
        K.ColorJitter(0.2, 0.2, 0.2, 0.05, p=1.0),
        *([K.RandomErasing((0.02, 0.2), p=0.3)] if more else []),
        *([K.RandomGaussianNoise(std=0.025, p=0.2)] if more else []),
        K.Normalize(torch.tensor(MEAN), torch.tensor(STD)),
    ]
    transform = torch.nn.Sequential(*chain).to(images.device)
    while True:
        yield len(transform(images.permute(0, 3, 1, 2).contiguous().float() / 255))


def compare(
    works: dict[str, Callable[[], Work]], rounds: int, seconds: float, device: torch.device
) -> list[list[str]]:
    """Who, images a second, and how many times as fast the first is."""
    turns = {name: partial(speed, make, seconds, waiter(device)) for name, make in works.items()}
    speeds = take_turns(turns, rounds)
    ours, *_ = speeds.values()
    return [
        [
            name,
            spread(values, ",.0f"),
            "" if values is ours else spread(ratios(ours, values), ".1f"),
        ]
        for name, values in speeds.items()
    ]


def small(rounds: int, seconds: float) -> str:
    images = torch.randint(0, 256, (COUNT, SIDE, SIDE, 3), dtype=torch.uint8)
    vision, other, cpu = Torchvision(images), Albumentations(images), torch.device("cpu")
    works: dict[str, Callable[[], Work]] = {
        "foldwise": lambda: small_ours(images),
        "torchvision v2, DataLoader": lambda: loader(vision),
        "albumentations, DataLoader": lambda: loader(other),
    }
    rows = compare(works, rounds, seconds, cpu)
    return f"{machine(cpu)}; {versions('torchvision', 'albumentations', 'opencv')}.\n\n" + markdown(
        ["32 pixels: flips, shifts, cutout, colour", "images a second", "ours is faster by"], rows
    )


def kornia(rounds: int, seconds: float) -> str:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = []
    for side, batch in ((32, 256), (224, 64)):
        images = torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8, device=device)
        for what, settings in (("flip, affine, colour", PLAIN), ("and five more", MORE)):
            works: dict[str, Callable[[], Work]] = {
                "foldwise": partial(device_ours, images, settings),
                "Kornia": partial(device_kornia, images, settings is MORE),
            }
            ours, other = compare(works, rounds, seconds, device)
            rows.append([f"{side} pixels: {what}", ours[1], other[1], other[2]])
    return f"{machine(device)}; {versions('kornia', 'opencv')}.\n\n" + markdown(
        ["", "foldwise, images a second", "Kornia", "ours is faster by"], rows
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parts: dict[str, Callable[[int, float], str]] = {"small": small, "kornia": kornia}
    parser.add_argument("parts", nargs="*", help="small, kornia (both where none is said)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--page", action="store_true", help="write docs/augmentation.md")
    options = parser.parse_args()
    prepare(Train(), torch.device("cpu"))
    for name in options.parts or parts:
        table = parts[name](options.rounds, options.seconds)
        print(table, flush=True)
        if options.page:
            into_page(DOCS / "augmentation.md", {name: table})


if __name__ == "__main__":
    main()
