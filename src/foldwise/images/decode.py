"""Image files -> uint8 arrays, and the search for files that do not decode."""

import hashlib
import os
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np

from foldwise import containers
from foldwise.containers import JOINED
from foldwise.errors import UsageError
from foldwise.files import write_text

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # we say it ourselves
cv2.setNumThreads(0)  # images are decoded side by side: OpenCV's own threads would be in the way
SAID_FROM = 20_000  # images; fewer are decoded before a person wonders
JPEG, JPEG_SCAN, JPEG_END = b"\xff\xd8", 0xDA, b"\xff\xd9"
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the marks that the size stands behind
SPARE = 1.1  # a JPEG decoded smaller is still this much larger than what is wanted: less blur
LITTLE = 1.3  # an image made smaller by no more than this is sampled, beyond it averaged
MOVED = 0.2  # pixels of the wanted size by which rounding the sides may move its far edge
REDUCED = {
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}  # the scale alone: IMREAD_GRAYSCALE is 0


class UnreadableImage(ValueError):
    """A file that is missing, no image, or cut off."""


def decode(name: str, channels: int, size: int = 0, clahe: float = 0.0) -> np.ndarray:
    """The image of a name as uint8 (height, width, channels): RGB, or gray where ``channels`` is 1.

    A name is a file's path, or one of `foldwise.containers`. The images of a row that has several
    share ``channels`` and are stacked, at the size of the first. EXIF orientation is applied,
    transparency left out, 16 bits become 8. ``size`` resizes to (size, size); a JPEG is then
    decoded at a half, a quarter or an eighth, as long as both sides keep more than that.
    ``clahe`` is the clip limit of an equalisation of contrast (0: none). Raises UnreadableImage.
    """
    names = name.split(JOINED)
    if len(names) == 1:
        return _equalized(resized(_decoded(name, channels, size), size, size), clahe)
    each = channels_of_each(len(names), channels)
    images = [_decoded(part, each, size) for part in names]
    height, width = images[0].shape[:2]
    alike = [resized(image, size or height, size or width) for image in images]
    return np.dstack([_equalized(image, clahe) for image in alike])


def _decoded(name: str, channels: int, size: int = 0) -> np.ndarray:
    """At its own size, or, for a JPEG, at one of which both sides have ``size`` pixels or more."""
    kept = containers.read(name)
    if kept is None:
        try:
            data = np.fromfile(name, np.uint8)
        except OSError as error:
            raise UnreadableImage(f"cannot be read ({error.strerror})") from error
    elif isinstance(kept, bytes):
        data = np.frombuffer(kept, np.uint8)
    else:
        return _in_channels(kept, channels)
    if not data.size:
        raise UnreadableImage("is empty")
    scale = 1
    if data[:2].tobytes() == JPEG:
        scale = _jpeg_scale(data.tobytes(), size)
    flag = cv2.IMREAD_GRAYSCALE if channels == 1 else cv2.IMREAD_COLOR_RGB
    if scale > 1:
        flag |= REDUCED[scale]
    try:
        image = cv2.imdecode(data, flag)
    except cv2.error:
        image = None
    if image is None:
        raise UnreadableImage("is no image, or cut off")
    return image[:, :, None] if image.ndim == 2 else image


def _jpeg_scale(data: bytes, size: int) -> int:
    """By how much (1, 2, 4 or 8) a JPEG can be decoded smaller. Raises UnreadableImage: cut off.

    Older OpenCVs fill the rest of a cut-off JPEG with gray instead of refusing it. The end mark is
    looked for behind the header (a thumbnail in there has an end of its own), and not at the end of
    the file: cameras leave zeros and more behind it.
    """
    place, sides, last = 2, (0, 0), len(data) - 9
    while place < last and data[place] == 0xFF and data[place + 1] != JPEG_SCAN:
        if data[place + 1] in JPEG_FRAMES:
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            sides = height, int.from_bytes(data[place + 7 : place + 9], "big")
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    if data.rfind(JPEG_END, place) < 0:
        raise UnreadableImage("is cut off")
    for scale in (8, 4, 2):
        added = max(-side % scale / max(side, 1) for side in sides)  # sides are rounded up
        if size and min(sides) >= SPARE * scale * size and added * size < MOVED:
            return scale
    return 1


def _equalized(image: np.ndarray, clahe: float) -> np.ndarray:
    """Contrast-limited adaptive histogram equalisation (Zuiderveld, 1994) of lightness, 8x8 tiles.

    ``clahe``: the clip limit; 0 leaves the image as it is.
    """
    if not clahe:
        return image
    tool = cv2.createCLAHE(clipLimit=clahe, tileGridSize=(8, 8))
    if image.shape[2] == 1:
        return tool.apply(image)[:, :, None]
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = tool.apply(lab[:, :, 0])
    return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)


def _in_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels (h, w) or (h, w, 1, 3 or 4) as (h, w, channels); transparency is left out."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    pixels = pixels[:, :, :3]
    if pixels.shape[2] == channels:
        return pixels
    if channels == 1:
        return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)[:, :, None]
    return pixels.repeat(channels, axis=2)


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width, channels); as it is where these are 0.

    A photograph that becomes a little smaller is nearer to what Lanczos makes of it when it is
    sampled bilinearly than when areas are averaged, and in a fifth of the time (`docs/images.md`).
    """
    if not height or image.shape[:2] == (height, width):
        return image
    if image.shape[2] > 4:  # more than OpenCV averages at once
        groups = [np.ascontiguousarray(image[:, :, n : n + 3]) for n in range(0, image.shape[2], 3)]
        return np.concatenate([resized(group, height, width) for group in groups], axis=2)
    least, most = sorted((image.shape[0] / height, image.shape[1] / width))
    way = cv2.INTER_AREA if least > 1 and most > LITTLE else cv2.INTER_LINEAR
    result = cv2.resize(image, (width, height), interpolation=way)
    return result[:, :, None] if result.ndim == 2 else result


def channels_of_each(images: int, channels: int) -> int:
    """Of each of a row's ``images``: 1 or 3. Raises UsageError where the sum is neither's."""
    each = channels // images
    if each not in (1, 3) or each * images != channels:
        what = f"rows of {images} images" if images > 1 else "one image a row"
        raise UsageError(
            f"model.in_chans={channels} does not fit {what}: say {images} (gray) or "
            f"{3 * images} (RGB)"
        )
    return each


def native_channels(names: list[str]) -> int:
    """Channels that a network takes: 3, and where a row has several images 1 (gray) or 3 each."""
    count = len(names[0].split(JOINED))
    if count == 1:
        return 3
    for name in names[:64]:
        try:
            pixels = [_decoded(part, 3).astype(np.int16) for part in name.split(JOINED)]
        except UnreadableImage:
            continue  # named later, with all the others
        coloured = any((p[:, :, 0] != p[:, :, 1]).any() for p in pixels)
        return count * (3 if coloured else 1)
    return count


def native_size(files: list[str]) -> int:
    """The side to work at when nobody says: the data's own up to 64 pixels, otherwise 224.

    The data's own is the median over (at most) 64 files, spread evenly, of the longer side.
    """
    sides = []
    for n in np.unique(np.linspace(0, len(files) - 1, min(64, len(files))).astype(int)):
        try:
            sides.append(max(_decoded(files[n].split(JOINED)[0], 1).shape[:2]))
        except UnreadableImage:
            continue  # named later, with all the others
    side = int(np.median(sides)) if sides else 224
    return side if side <= 64 else 224


def find_broken(files: Iterable[str], workers: int, memory: Path | None) -> dict[str, str]:
    """{file: what is wrong} for the files that do not decode, all of them decoded to find out.

    ``memory``: a file that remembers a set found whole (by names, sizes and times), so that the
    next call costs no decoding; None, or a place that cannot be written, remembers nothing.
    """
    paths = list(files)
    mark = _digest(paths)
    known = memory.read_text(errors="replace").split() if memory and memory.is_file() else []
    if mark in known:
        return {}

    if len(paths) > SAID_FROM:
        print(f"looking at {len(paths):,} images once", file=sys.stderr)
    broken: dict[str, str] = {}
    with ThreadPoolExecutor(workers) as pool:
        work = [pool.submit(_broken_among, paths[n : n + 64]) for n in range(0, len(paths), 64)]
        try:
            for part in work:
                broken |= part.result()
        finally:
            pool.shutdown(cancel_futures=True)  # Ctrl-C does not wait for the rest
    if memory and not broken and os.access(memory.parent, os.W_OK):
        write_text(memory, "\n".join([*known[-9:], mark]) + "\n")
    return broken


def _broken_among(paths: list[str]) -> dict[str, str]:
    broken = {}
    for path in paths:
        for part in path.split(JOINED):
            try:
                _decoded(part, 1, size=1)  # the least work in which a broken file shows
            except UnreadableImage as error:
                broken[path] = str(error) if part == path else f"({part}) {error}"
    return broken


def _digest(paths: list[str]) -> str:
    state = hashlib.sha256()
    for path in sorted(paths):
        for file in containers.files_of(path):
            try:
                facts = file.stat()
                state.update(f"{path}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
            except OSError:
                state.update(f"{path}\0missing\n".encode())
    return state.hexdigest()


def threads(workers: int) -> int:
    """``images.workers``, or one a core where it is 0."""
    if hasattr(os, "sched_getaffinity"):  # what this process may use, not what the machine has
        return workers or len(os.sched_getaffinity(0))
    return workers or os.cpu_count() or 1
