"""From JPEG files to normalised batches, beside the usual loaders.

    .venv/bin/python tests/benchmarks/bench_images.py FLOWERS [--rounds 5] [--page]

FLOWERS is flowers12.zip, or its folder: 960 photographs of 224 pixels. They and their mirror images
are enlarged to 500 pixels and about 85 KB, into --folder where one is given (and used again from
there), otherwise into a temporary one. Batches of 64 at 224 pixels, augmented by the preset
`medium`, or what comes nearest to it in the others' words; two processes or threads for everybody.

Ours has a first epoch, which decodes and packs all files (the pack is deleted before each round),
and later ones, from the pack. The others do the same in every epoch.

All take turns, each for about --seconds; a ratio is that of one round. The table has the median
of the rounds and, in brackets, the lowest and highest; --page puts it into docs/images.md.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import cv2
import numpy as np
import torch
from figures import DOCS, into_page, machine, markdown
from photos import decoding, enlarged
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from turns import Work, ratios, speed, spread, take_turns, versions, waiter

from foldwise.config import PRESETS, Augment, Train
from foldwise.device import prepare
from foldwise.images.augment import Normalize, augment
from foldwise.images.load import Images, PackedImages, StreamedImages
from foldwise.images.pack import Look, clean, open_pack

CPU = torch.device("cpu")
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
SIZE, BATCH, WORKERS = 224, 64, 2
LOOK, MEDIUM = Look(SIZE, 3), Augment(**PRESETS["medium"])  # type: ignore[arg-type]


def epoch(images: Images, count: int) -> Work:
    """The steps of an epoch, up to what the network is given."""
    normalize = Normalize(MEAN, STD, CPU, channels_last=True)
    order = np.random.default_rng().permutation(count)
    for batch in images.batches(np.split(order, range(BATCH, count, BATCH))):
        yield len(normalize(augment(batch, MEDIUM)))


def epochs(images: Images, count: int) -> Work:
    while True:
        yield from epoch(images, count)


def first_epoch(files: list[str], folder: Path) -> float:
    """Images a second of packing all files and an epoch of them."""
    clean(folder)
    began = time.perf_counter()
    images = PackedImages(open_pack(files, LOOK, folder, WORKERS).pixels, CPU)
    done = sum(epoch(images, len(files)))
    return done / (time.perf_counter() - began)


def copies(images: Images, count: int) -> Work:
    while True:
        order = np.random.default_rng().permutation(count)
        yield from map(len, images.batches(np.split(order, range(BATCH, count, BATCH))))


# The others: `medium` in their words, decoding included.


class Files(Dataset):
    """Paths, and a function from a path to pixels for the network."""

    def __init__(self, files: list[str], load: Callable[[str], Tensor]) -> None:
        self.files, self.load = files, load

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return self.load(self.files[index])


def loader(files: list[str], load: Callable[[str], Tensor]) -> Work:
    dataset = Files(files, load)
    endless = RandomSampler(dataset, num_samples=10**7)
    yield from map(len, DataLoader(dataset, BATCH, sampler=endless, num_workers=WORKERS))


def torchvision(own_decoder: bool) -> Callable[[str], Tensor]:
    from PIL import Image
    from torchvision import io
    from torchvision.transforms import v2

    transform = v2.Compose([
        v2.ToImage(),
        v2.Resize((SIZE, SIZE)),
        v2.RandomHorizontalFlip(0.5),
        v2.RandomAffine(15, (0.1, 0.1), (0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR),
        v2.ColorJitter(0.2, 0.2, 0.2, 0.03),
        v2.RandomErasing(0.3, scale=(1 / 16, 1 / 16), ratio=(1, 1), value=128),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, STD),
    ])  # fmt: skip
    if own_decoder:
        return lambda name: transform(io.decode_image(io.read_file(name), io.ImageReadMode.RGB))
    resize = v2.Resize((SIZE, SIZE))  # of PIL's own, on what is still its image
    return lambda name: transform(resize(Image.open(name).convert("RGB")))


def albumentations() -> Callable[[str], Tensor]:
    import albumentations as A

    transform = A.Compose([
        A.Resize(SIZE, SIZE, interpolation=cv2.INTER_AREA),
        A.HorizontalFlip(p=0.5),
        A.Affine(
            scale=(0.9, 1.1), translate_percent=(-0.1, 0.1), rotate=(-15, 15),
            border_mode=cv2.BORDER_REPLICATE, p=1,
        ),
        A.ColorJitter((0.8, 1.2), (0.8, 1.2), (0.8, 1.2), (-0.03, 0.03), p=1),
        A.CoarseDropout((1, 1), (0.25, 0.25), (0.25, 0.25), fill=128, p=0.3),
        A.Normalize(MEAN, STD),
        A.ToTensorV2(),
    ])  # fmt: skip
    return lambda name: transform(image=cv2.imread(name, cv2.IMREAD_COLOR_RGB))["image"]


def timm_loader(files: list[str]) -> Work:
    """As its own train script makes it; it has no rotation of its own but in RandAugment."""
    import timm.data

    class Photos(Dataset):
        def __init__(self) -> None:
            self.transform: Callable[[object], Tensor]

        def __len__(self) -> int:
            return len(files)

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            from PIL import Image

            return self.transform(Image.open(files[index]).convert("RGB")), 0

    batches = timm.data.create_loader(
        Photos(), (3, SIZE, SIZE), BATCH, is_training=True, scale=(0.8, 1.0), hflip=0.5,
        color_jitter=(0.2, 0.2, 0.2, 0.03), re_prob=0.3, re_mode="const", interpolation="bilinear",
        mean=tuple(MEAN), std=tuple(STD), num_workers=WORKERS, device=CPU, persistent_workers=True,
    )  # fmt: skip
    while True:
        for pixels, _ in batches:
            yield len(pixels)


def loaders(files: list[str], folder: Path, rounds: int, seconds: float) -> str:
    count = len(files)
    pack = PackedImages(open_pack(files, LOOK, folder / "kept", WORKERS).pixels, CPU)
    stream = StreamedImages(files, LOOK, CPU, WORKERS)
    ours: dict[str, Callable[[], Work]] = {
        "foldwise, later epochs: from the pack": lambda: epochs(pack, count),
        "foldwise, every epoch with `images.pack=off`": lambda: epochs(stream, count),
    }
    others: dict[str, Callable[[], Work]] = {
        "timm's loader": lambda: timm_loader(files),
        "torchvision v2, PIL": lambda: loader(files, torchvision(own_decoder=False)),
        "torchvision v2, its own decoder": lambda: loader(files, torchvision(own_decoder=True)),
        "albumentations, OpenCV": lambda: loader(files, albumentations()),
    }
    parts: dict[str, Callable[[], Work]] = {
        "decoding to 224 pixels alone": lambda: decoding(files, LOOK.decode, WORKERS, BATCH),
        "copying packed bytes alone": lambda: copies(pack, count),
    }
    first = "foldwise, first epoch: decoded, packed, augmented"
    works = {**ours, **others, **parts}
    turns = {name: partial(speed, make, seconds, waiter(CPU)) for name, make in works.items()}
    found = take_turns({first: partial(first_epoch, files, folder / "made"), **turns}, rounds)
    later = next(iter(ours))
    rows = []
    for name, values in found.items():
        beside = [ratios(found[mine], values) for mine in (first, later) if name in others]
        rows.append([name, spread(values, ",.0f"), *(spread(r, ".2f") for r in beside)])
        rows[-1] += [""] * (4 - len(rows[-1]))
    return markdown(["", "images a second", "first epoch is faster by", "later epochs by"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("flowers", type=Path)
    parser.add_argument("--folder", type=Path, help="where the enlarged files are kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--page", action="store_true", help="write docs/images.md")
    options = parser.parse_args()
    prepare(Train(), CPU)
    known = versions("timm", "torchvision", "albumentations", "opencv", "pillow")
    with tempfile.TemporaryDirectory() as temporary:
        files = enlarged(options.flowers, options.folder or Path(temporary, "files"))
        table = loaders(files, Path(temporary), options.rounds, options.seconds)
    text = f"{machine(CPU)}; {known}.\n\n{table}"
    print(text)
    if options.page:
        into_page(DOCS / "images.md", {"loaders": text})


if __name__ == "__main__":
    main()
