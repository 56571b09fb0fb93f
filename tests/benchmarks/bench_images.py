"""From JPEG files to normalised batches, beside the usual loaders, and the decoders beside each other.

    .venv/bin/python tests/benchmarks/bench_images.py FLOWERS [loaders] [decoders] [--page]

FLOWERS is flowers12.zip, or its folder: 960 photographs of 224 pixels. They and their mirror images
are enlarged to 500 pixels and about 85 KB, into --folder where one is given (and used again from
there), otherwise into a temporary one. Two processes or threads for everybody.

loaders: batches of 64 at 224 pixels with the `medium` preset, or what comes nearest to it in the
others' words. Ours has a first epoch, which decodes and packs all files (the pack is deleted before
each round), and later ones, from the pack. The others do the same in every epoch.

decoders: a file in memory to its array of bytes, brought to 224 pixels by OpenCV. kornia_rs and
tensorflow take part where they are installed.

All take turns, each for about --seconds; a ratio is that of one round. The tables have the median
of the rounds and, in brackets, the lowest and highest; --page puts them into docs/images.md.
"""

import argparse
import importlib.util
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import cv2
import numpy as np
import torch
from figures import DOCS, into_page, machine, markdown
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
LARGE, SIZE, BATCH, WORKERS, KILOBYTES = 500, 224, 64, 2, 85
LOOK, MEDIUM = Look(SIZE, 3), Augment(**PRESETS["medium"])  # type: ignore[arg-type]


def enlarged(flowers: Path, folder: Path) -> list[str]:
    """Paths of the enlarged photographs and of their mirror images, made where they are missing."""
    done = folder / "whole"
    if not done.is_file():
        if flowers.is_file():
            zipfile.ZipFile(flowers).extractall(folder / "original")
            flowers = folder / "original"
        photos = [cv2.imread(str(path)) for path in sorted(flowers.rglob("*.jpg"))]
        large = [
            cv2.resize(photo, (LARGE, LARGE), interpolation=cv2.INTER_CUBIC) for photo in photos
        ]
        quality = quality_of(large[::50])
        for number, image in enumerate([*large, *(image[:, ::-1] for image in large)]):
            name = folder / f"{number:04d}.jpg"
            cv2.imwrite(str(name), image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        done.write_text(f"quality {quality}\n")
    paths = sorted(folder.glob("*.jpg"))
    size = sum(path.stat().st_size for path in paths) / len(paths) / 1000
    print(f"{len(paths)} files of {LARGE} pixels and {size:.0f} KB, {done.read_text().strip()}")
    return [str(path) for path in paths]


def quality_of(images: list[np.ndarray]) -> int:
    """That at which JPEG files of these images come nearest to KILOBYTES."""

    def off(quality: int) -> float:
        words = [cv2.IMWRITE_JPEG_QUALITY, quality]
        sizes = [len(cv2.imencode(".jpg", image, words)[1]) for image in images]
        return abs(sum(sizes) / len(sizes) - 1000 * KILOBYTES)

    return min(range(75, 101), key=off)


# Ours.


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


def decoding(files: list[str], decode: Callable[[str], object], threads: int) -> Work:
    """Batches of files, each decoded; by threads, as we do."""
    with ThreadPoolExecutor(threads) as pool:
        while True:
            for start in range(0, len(files) - BATCH + 1, BATCH):
                parts = np.array_split(files[start : start + BATCH], 4 * threads)
                list(pool.map(lambda part: [decode(str(name)) for name in part], parts))
                yield BATCH


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


def loaders(files: list[str], rounds: int, seconds: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        packs, count = Path(folder), len(files)
        pack = PackedImages(open_pack(files, LOOK, packs / "kept", WORKERS).pixels, CPU)
        stream = StreamedImages(files, LOOK, CPU, WORKERS)

        def turn(make: Callable[[], Work]) -> Callable[[], float]:
            return lambda: speed(make, seconds, waiter(CPU))

        names = ["first epoch: decoded, packed, augmented", "later epochs: from the pack"]
        found = take_turns(
            {
                names[0]: lambda: first_epoch(files, packs / "made"),
                names[1]: turn(lambda: epochs(pack, count)),
                "every epoch without a pack (`images.pack=off`)": turn(
                    lambda: epochs(stream, count)
                ),
                "timm's loader": turn(lambda: timm_loader(files)),
                "torchvision v2, PIL": turn(lambda: loader(files, torchvision(False))),
                "torchvision v2, its own decoder": turn(lambda: loader(files, torchvision(True))),
                "albumentations, OpenCV": turn(lambda: loader(files, albumentations())),
                "decoding alone": turn(lambda: decoding(files, LOOK.decode, WORKERS)),
                "copying packed bytes alone": turn(lambda: copies(pack, count)),
            },
            rounds,
        )
    first, later = (found[name] for name in names)
    lines = [
        [
            f"foldwise, {name}" if number < 3 else name,
            spread(values, ",.0f"),
            *(spread(ratios(mine, values), ".2f") if 3 <= number < 7 else "" for mine in (first, later)),
        ]
        for number, (name, values) in enumerate(found.items())
    ]  # fmt: skip
    head = ["", "images a second", "our first epoch is faster by", "our later epochs by"]
    return markdown(head, lines)


# The decoders.


def decoders() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Bytes of a file, uint8 (n,) -> its pixels at some size, uint8 (h, w, 3)."""
    import io

    from PIL import Image
    from torchvision import io as vision

    def pillow(data: np.ndarray, draft: bool) -> np.ndarray:
        image = Image.open(io.BytesIO(data.tobytes()))
        if draft:
            image.draft("RGB", (SIZE, SIZE))
        return np.asarray(image.convert("RGB"))

    def torchs(data: np.ndarray) -> np.ndarray:
        return (
            vision.decode_jpeg(torch.from_numpy(data), vision.ImageReadMode.RGB)
            .permute(1, 2, 0)
            .numpy()
        )

    half = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_2
    found: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        f"OpenCV {cv2.__version__}, whole": lambda data: cv2.imdecode(data, cv2.IMREAD_COLOR_RGB),
        "OpenCV, at half": lambda data: cv2.imdecode(data, half),
        "Pillow, whole": lambda data: pillow(data, draft=False),
        "Pillow, at half (draft)": lambda data: pillow(data, draft=True),
        "torchvision.io, whole": torchs,
    }
    if importlib.util.find_spec("kornia_rs"):
        from kornia_rs.io import decode_image_jpeg

        found["kornia_rs, whole"] = lambda data: np.asarray(decode_image_jpeg(data.tobytes()))
    if importlib.util.find_spec("tensorflow"):
        import tensorflow as tf

        tf.config.threading.set_inter_op_parallelism_threads(1)
        for ratio, name in ((1, "whole"), (2, "at half")):
            found[f"tensorflow, {name}"] = lambda data, ratio=ratio: tf.io.decode_jpeg(  # type: ignore[misc]
                data.tobytes(), 3, ratio
            ).numpy()
    return found


def error_of(decode: Callable[[np.ndarray], np.ndarray], files: list[np.ndarray]) -> float:
    """The mean difference, 0..255, at 224 pixels, to decoding whole with OpenCV."""
    errors = []
    for data in files:
        whole = shrunk(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)).astype(np.int16)
        errors.append(np.abs(shrunk(decode(data)) - whole).mean())
    return float(np.mean(errors))


def shrunk(image: np.ndarray) -> np.ndarray:
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def compared_decoders(files: list[str], rounds: int, seconds: float) -> str:
    kept = {name: np.fromfile(name, np.uint8) for name in files}
    known = decoders()

    def turn(decode: Callable[[np.ndarray], np.ndarray], threads: int) -> Callable[[], float]:
        works = lambda: decoding(files, lambda name: shrunk(decode(kept[name])), threads)  # noqa: E731
        return lambda: speed(works, seconds, waiter(CPU))

    alone = take_turns({name: turn(decode, 1) for name, decode in known.items()}, rounds)
    both = take_turns({name: turn(decode, WORKERS) for name, decode in known.items()}, rounds)
    sample = [kept[name] for name in files[::40]]
    lines = [
        [
            name,
            spread(alone[name], ",.0f"),
            spread(both[name], ",.0f"),
            f"{error_of(decode, sample):.2f}",
        ]
        for name, decode in known.items()
    ]
    return markdown(["", "1 thread, images a second", "2 threads", "mean error of 255"], lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parts = {"loaders": loaders, "decoders": compared_decoders}
    parser.add_argument("flowers", type=Path)
    parser.add_argument("parts", nargs="*", help="loaders, decoders (both where none is said)")
    parser.add_argument("--folder", type=Path, help="where the enlarged files are kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--page", action="store_true", help="write docs/images.md")
    options = parser.parse_args()
    prepare(Train(), CPU)
    where = (
        f"{machine(CPU)}; {versions('timm', 'torchvision', 'albumentations', 'opencv', 'pillow')}"
    )
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        files = enlarged(options.flowers, folder)
        for name in options.parts or parts:
            table = parts[name](files, options.rounds, options.seconds)
            print(f"{where}.\n\n{table}", flush=True)
            if options.page:
                into_page(DOCS / "images.md", {name: f"{where}.\n\n{table}"})


if __name__ == "__main__":
    main()
