"""Augmentation beside torchvision, albumentations and Kornia, side by side in one process.

    .venv/bin/python tests/benchmarks/bench_augment.py [small] [kornia] [--rounds 5] [--seconds 3]

small: 32-pixel images in memory to normalised batches of 256, with flips, crops shifted by up to 3
pixels, cutout and colour jitter. Ours, and a DataLoader with 2 workers (started before the clock)
over torchvision v2 and over albumentations; always on the CPU.

kornia: uint8 batches on the device (the GPU where there is one) to normalised ones, by the same
operations at the same strengths; `pip install kornia` first.

All take turns, each for about --seconds; a ratio is that of one round, so a machine that drifts
does little to it. The table has the median of the rounds and, in brackets, the lowest and highest.
"""

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from foldwise.config import Augment
from foldwise.images.augment import Normalize, augment
from foldwise.images.load import ResidentImages

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SIDE, BATCH, COUNT, SHIFT = 32, 256, 10_240, 3
Work = Iterator[int]  # does a batch, and says of how many images


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
    batches = DataLoader(
        dataset, BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True
    )
    while True:
        yield from map(len, batches)


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
    normalize = Normalize(MEAN, STD, images.device, channels_last=False)
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


def speed(work: Work, seconds: float, device: torch.device) -> float:
    """Images a second, over whole batches."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    next(work)
    wait()
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        done += next(work)
        wait()
    return done / (time.perf_counter() - began)


def compare(
    title: str, works: dict[str, Work], rounds: int, seconds: float, device: torch.device
) -> None:
    """A table: images a second of each, and how many times as fast the first is."""
    for work in works.values():  # what is made once is made before the clock runs
        list(itertools.islice(work, 3))
    speeds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            speeds[name].append(speed(work, seconds, device))
    ours, *_ = speeds.values()
    print(f"\n{title}\n| | images a second | ours is faster by |\n| --- | --- | --- |")
    for name, values in speeds.items():
        ratios = [mine / theirs for mine, theirs in zip(ours, values, strict=True)]
        ratio = "" if values is ours else spread(ratios, ".1f")
        print(f"| {name} | {spread(values, ',.0f')} | {ratio} |", flush=True)


def spread(values: list[float], form: str) -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def small(rounds: int, seconds: float) -> None:
    images = torch.randint(0, 256, (COUNT, SIDE, SIDE, 3), dtype=torch.uint8)
    works = {
        "foldwise": small_ours(images),
        "torchvision v2, DataLoader": loader(Torchvision(images)),
        "albumentations, DataLoader": loader(Albumentations(images)),
    }
    title = f"{SIDE} pixels on the CPU: flips, shifts, cutout, colour"
    compare(title, works, rounds, seconds, torch.device("cpu"))


def kornia(rounds: int, seconds: float) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for side, batch in ((32, 256), (224, 64)):
        images = torch.randint(0, 256, (batch, side, side, 3), dtype=torch.uint8, device=device)
        for what, settings in (("flip, affine, colour", PLAIN), ("and 5 more", MORE)):
            works = {
                "foldwise": device_ours(images, settings),
                "Kornia": device_kornia(images, settings is MORE),
            }
            compare(f"{side} pixels on {device.type}: {what}", works, rounds, seconds, device)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parts: dict[str, Callable[[int, float], None]] = {"small": small, "kornia": kornia}
    parser.add_argument("parts", nargs="*", help="small, kornia (both where none is said)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for name in options.parts or parts:
        parts[name](options.rounds, options.seconds)


if __name__ == "__main__":
    main()
