"""Photographs for benchmarks: flowers12, enlarged to files as competitions have them; decoded."""

import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

LARGE, KILOBYTES = 500, 85


def enlarged(flowers: Path, folder: Path) -> list[str]:
    """Paths of the enlarged photographs and of their mirror images, made where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
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


def decoding(
    files: list[str], decode: Callable[[str], object], threads: int, batch: int
) -> Iterator[int]:
    """Batches of files, each decoded; by threads, as we do."""
    with ThreadPoolExecutor(threads) as pool:
        while True:
            for start in range(0, len(files) - batch + 1, batch):
                parts = np.array_split(files[start : start + batch], 4 * threads)
                list(pool.map(lambda part: [decode(str(name)) for name in part], parts))
                yield batch
