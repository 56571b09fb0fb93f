"""One pass over all images: what the file says, what the pixels say, and a thumbnail of each."""

import hashlib
import io
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from foldwise import containers
from foldwise.bar import counted
from foldwise.containers import JOINED
from foldwise.images.decode import UnreadableImage, decode

SIDE = 32  # pixels of a thumbnail's side: what duplicates are looked for in
LOOK = 256  # pixels: larger images are made this small before their statistics are taken
IN_MEMORY = 300_000  # thumbnails (3 KB each); more of them go to a temporary file
ORIENTATION = 0x0112  # EXIF tag

# What the file says; absent (None, NaN) for an image inside a container.
HEADER = ["bytes", "mtime", "format", "mode", "orientation", "quality"]
# What the pixels say. `complexity` is the size in bytes of the pixels encoded again at one
# quality: the part of a file's size that the image itself explains.
CONTENT = [
    *("red", "green", "blue", "red_std", "green_std", "blue_std", "saturation"),
    *("sharpness", "dark", "bright", "complexity"),
]


@dataclass(frozen=True)
class Scan:
    """Facts about images, in the order of the files they were asked for.

    facts: one row an image: file, problem ('' or why it does not decode), width and height in
    pixels (as shown, EXIF applied), digest (sha256 of the decoded pixels and their shape),
    content_digest of the file's bytes, and the columns of HEADER and CONTENT: bytes, mtime in
    seconds, PIL's format and mode, EXIF orientation 1..8, quality (mean of the JPEG luminance
    table, smaller is finer), means and deviations a channel (0..255), the shares of dark and
    bright pixels, …
    thumbs: uint8 (n, 32, 32, 3) RGB, the whole image squeezed into a square; zeros where broken.
    """

    facts: pd.DataFrame
    thumbs: np.ndarray

    @property
    def whole(self) -> np.ndarray:
        """bool (n,): the images that decode."""
        return (self.facts["problem"] == "").to_numpy()


def scan(files: list[str], workers: int) -> Scan:
    """Reads every image once, ``workers`` (0: one a core) at a time; broken ones are noted.

    Memory: 3 KB a thumbnail and about 1 KB of facts an image; beyond IN_MEMORY images the
    thumbnails lie in a temporary file.
    """
    shape = (len(files), SIDE, SIDE, 3)
    if len(files) <= IN_MEMORY:
        thumbs: np.ndarray = np.zeros(shape, np.uint8)
    else:
        thumbs = np.memmap(tempfile.TemporaryFile(), np.uint8, "w+", shape=shape)  # noqa: SIM115
    facts: list[dict[str, Any]] = []
    starts = range(0, len(files), 64)

    def part(start: int) -> list[dict[str, Any]]:
        return [look(files[n], thumbs[n]) for n in range(start, min(start + 64, len(files)))]

    with warnings.catch_warnings(), ThreadPoolExecutor(workers or None) as pool:
        warnings.simplefilter("ignore")  # Pillow on large images and odd tags: we only ask sizes
        work = [pool.submit(part, start) for start in starts]
        try:
            with counted(len(files), "images read") as advance:
                for done in work:
                    facts += done.result()
                    advance(len(done.result()))
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest
    columns = ["file", "problem", "width", "height", "digest", "content_digest", *HEADER, *CONTENT]
    frame = pd.DataFrame(facts, columns=columns)
    text = ["file", "problem", "digest", "content_digest", "format", "mode"]
    numbers = [name for name in columns if name not in text]
    frame[numbers] = frame[numbers].astype(np.float64)
    return Scan(frame, thumbs)


def look(file: str, thumb: np.ndarray) -> dict[str, Any]:
    """The facts of one image; its thumbnail is written to ``thumb`` (uint8 (32, 32, 3))."""
    facts: dict[str, Any] = {"file": file, "problem": ""}
    if not file:
        return facts | {"problem": "is missing", "digest": ""}
    facts |= header(file)
    try:
        image = pixels(file)
    except UnreadableImage as error:
        return facts | {"problem": str(error), "digest": ""}
    facts["height"], facts["width"] = image.shape[:2]
    facts["digest"] = _sha(np.ascontiguousarray(image), str(image.shape))
    way = cv2.INTER_AREA if min(image.shape[:2]) > SIDE else cv2.INTER_LINEAR
    thumb[:] = cv2.resize(image, (SIDE, SIDE), interpolation=way)
    return facts | content(image)


def pixels(file: str) -> np.ndarray:
    """uint8 (h, w, 3). The images of a row that has several lie one below the other, so that the
    mirror image of the whole is that of each."""
    parts = [decode(part, 3) for part in file.split(JOINED)]
    height, width = parts[0].shape[:2]
    same = [part if part.shape[:2] == (height, width) else cv2.resize(part, (width, height))
            for part in parts]  # fmt: skip
    return np.vstack(same) if len(same) > 1 else same[0]


def header(file: str) -> dict[str, Any]:
    """What the file says, its pixels untouched; nothing for an image inside a container."""
    parts = [part for part in file.split(JOINED) if containers.read(part) is None]
    if not parts:
        return {"content_digest": ""}
    try:
        contents = [Path(part).read_bytes() for part in parts]
        mtime = Path(parts[0]).stat().st_mtime
    except OSError:
        return {"content_digest": ""}
    size = sum(map(len, contents))
    facts = {"bytes": size, "mtime": mtime, "content_digest": _sha(*contents)}
    return facts | _pillow_header(contents[0])


def _sha(*contents: Any) -> str:
    state = hashlib.sha256()
    for content in contents:
        state.update(content.encode() if isinstance(content, str) else content)
    return state.hexdigest()


def _pillow_header(data: bytes) -> dict[str, Any]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            facts: dict[str, Any] = {"format": image.format, "mode": image.mode}
            if image.format == "PNG" and "transparency" in image.info and image.mode != "RGBA":
                facts["mode"] = f"{image.mode}+alpha"
            facts["orientation"] = image.getexif().get(ORIENTATION) or None
            tables = getattr(image, "quantization", None)
            facts["quality"] = float(np.mean(tables[min(tables)])) if tables else None
    except Exception:  # Pillow knows other formats than OpenCV, and fails in many ways on junk
        return {}
    if not isinstance(facts["orientation"], int) or not 1 <= facts["orientation"] <= 8:
        facts["orientation"] = None
    return facts


def content(image: np.ndarray) -> dict[str, float]:
    """Cheap statistics of the pixels, uint8 (h, w, 3), taken at 256 pixels at most."""
    longer = max(image.shape[:2])
    if longer > LOOK:
        height, width = (max(1, round(side * LOOK / longer)) for side in image.shape[:2])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    means, deviations = (values.ravel() for values in cv2.meanStdDev(image))
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    _, edges = cv2.meanStdDev(cv2.Laplacian(gray, cv2.CV_16S))
    saturation = cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2HSV))[1]
    counts = cv2.calcHist([gray], [0], None, [16], [0, 256]).ravel() / gray.size
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    values = [*means, *deviations, saturation, edges[0, 0], counts[0], counts[-1], len(encoded)]
    return dict(zip(CONTENT, map(float, values), strict=True))
