"""The decoders that Kaggle's image carries, beside each other.

    .venv/bin/python tests/benchmarks/bench_decode.py FLOWERS [--rounds 5] [--page]

FLOWERS and --folder are as in `bench_images.py`. A file in memory becomes an array of bytes, and
OpenCV brings that to 224 pixels: in one thread, and in two. kornia_rs and tensorflow take part
where they are installed. The error is the mean difference to the whole photograph, averaged over
areas, from 0 to 255.

All take turns, each for about --seconds. The table has the median of the rounds and, in brackets,
the lowest and highest; --page puts it into docs/images.md.
"""

import argparse
import importlib.util
import io
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import cv2
import numpy as np
import torch
from figures import DOCS, into_page, machine, markdown
from photos import decoding, enlarged
from turns import speed, spread, take_turns, versions, waiter

from foldwise.images.decode import resized

CPU, SIZE, BATCH, THREADS = torch.device("cpu"), 224, 64, 2
Decoder = Callable[[np.ndarray], np.ndarray]  # bytes of a file (n,) -> pixels (h, w, 3)


def decoders() -> dict[str, Decoder]:
    from PIL import Image
    from torchvision import io as vision

    def pillow(data: np.ndarray, draft: bool) -> np.ndarray:
        image = Image.open(io.BytesIO(data.tobytes()))
        if draft:
            image.draft("RGB", (SIZE, SIZE))
        return np.asarray(image.convert("RGB"))

    def torchs(data: np.ndarray) -> np.ndarray:
        pixels = vision.decode_jpeg(torch.from_numpy(data), vision.ImageReadMode.RGB)
        return pixels.permute(1, 2, 0).contiguous().numpy()

    half = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_REDUCED_GRAYSCALE_2
    found: dict[str, Decoder] = {
        "OpenCV at half, as we do": lambda data: cv2.imdecode(data, half),
        "OpenCV": lambda data: cv2.imdecode(data, cv2.IMREAD_COLOR_RGB),
        "Pillow at half (draft)": partial(pillow, draft=True),
        "Pillow": partial(pillow, draft=False),
        "torchvision.io": torchs,
    }
    if importlib.util.find_spec("kornia_rs"):
        from kornia_rs.io import decode_image_jpeg

        found["kornia_rs"] = lambda data: np.asarray(decode_image_jpeg(data.tobytes()))
    if importlib.util.find_spec("tensorflow"):
        import tensorflow as tf

        def tensorflow(data: np.ndarray, ratio: int) -> np.ndarray:
            return tf.io.decode_jpeg(data.tobytes(), 3, ratio).numpy()

        found["tensorflow at half"] = partial(tensorflow, ratio=2)
        found["tensorflow"] = partial(tensorflow, ratio=1)
    return found


def wanted(image: np.ndarray) -> np.ndarray:
    return resized(image, SIZE, SIZE)


def error_of(decode: Decoder, files: list[np.ndarray]) -> float:
    errors = []
    for data in files:
        whole = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        whole = cv2.resize(whole, (SIZE, SIZE), interpolation=cv2.INTER_AREA).astype(np.int16)
        errors.append(np.abs(wanted(decode(data)) - whole).mean())
    return float(np.mean(errors))


def compared(files: list[str], rounds: int, seconds: float) -> str:
    kept = {name: np.fromfile(name, np.uint8) for name in files}
    known = decoders()

    def turn(decode: Decoder, threads: int) -> Callable[[], float]:
        work = partial(decoding, files, lambda name: wanted(decode(kept[name])), threads, BATCH)
        return partial(speed, work, seconds, waiter(CPU))

    turns = {f"{name} {n}": turn(decode, n) for name, decode in known.items() for n in (1, THREADS)}
    found = take_turns(turns, rounds)
    sample = [kept[name] for name in files[::40]]
    rows = [
        [
            name,
            *(spread(found[f"{name} {n}"], ",.0f") for n in (1, THREADS)),
            f"{error_of(decode, sample):.2f}",
        ]
        for name, decode in known.items()
    ]
    return markdown(["", "1 thread, images a second", "2 threads", "error"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("flowers", type=Path)
    parser.add_argument("--folder", type=Path, help="where the enlarged files are kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--page", action="store_true", help="write docs/images.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        files = enlarged(options.flowers, options.folder or Path(temporary))
        table = compared(files, options.rounds, options.seconds)
    known = versions("torchvision", "opencv", "pillow", "kornia_rs", "tensorflow", "tensorflow_cpu")
    text = f"{machine(CPU)}; {known}.\n\n{table}"
    print(text)
    if options.page:
        into_page(DOCS / "images.md", {"decoders": text})


if __name__ == "__main__":
    main()
