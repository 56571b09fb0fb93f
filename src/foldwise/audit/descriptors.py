"""Which pairs of images could be copies of one image: a search in two stages over thumbnails.

A perceptual hash (the signs of averages or DCT coefficients; Zauner 2010) loses a 32-pixel image
that was shifted by four pixels. Here, first, every image is compared with every other by features
that change little with a shift and not at all with a reflection (Fourier magnitudes, quantiles of
colour, coarse luminance made symmetric). Pairs that pass are compared again: the middle of one
image with 18 parts of the other, shifted by 3 pixels of the 32 or not at all in each direction,
mirrored or not, so that no border is seen and at most a shift by 1 pixel is left.

In both stages those directions of the features are kept in which different images differ most
compared with copies of one image: linear discriminant analysis (Fisher 1936; Rao 1948) where an
image is a class and copies, which are made here, are its members. The same copies say how far
apart copies may lie.
"""

from collections.abc import Callable

import cv2
import numpy as np

SAMPLE = 2000  # images that copies are made of
COPIES = 6  # of each
DIMENSIONS = 64
KEPT = (0.992, 0.975)  # share of the copies that must lie within the radius of each stage
BATCH = 2048
PART, STEP, MIDDLE = 24, 3, 4  # pixels of a thumbnail's 32: a part's side, steps, the middle part

Features = Callable[[np.ndarray], np.ndarray]


def invariant_features(thumbs: np.ndarray) -> np.ndarray:
    """float32 (n, features) of thumbnails, uint8 (n, 32, 32, 3); the same for mirror images."""
    y, blue, red = _planes(thumbs)
    coarse = [_pooled(y, 4), _pooled(blue, 8), _pooled(red, 8)]
    parts = [_symmetric(plane) for plane in coarse]
    window = np.hanning(y.shape[1] + 2)[1:-1].astype(np.float32)
    centred = y - y.mean((1, 2), keepdims=True)
    low = np.log1p(np.abs(np.fft.rfft2(centred * window[:, None] * window)[:, :, :8]))
    up, down = low[:, 1:8], low[:, -1:-8:-1]  # (u, v) and (-u, v): swapped in the mirror image
    parts += [np.stack([up + down, np.abs(up - down)], 1) * 8, low[:, 0] * 8]
    for plane in (_pooled(y, 2), _pooled(blue, 2), _pooled(red, 2)):
        parts.append(np.sort(plane.reshape(len(plane), -1), axis=1)[:, 5::35])  # 8 quantiles
    return np.concatenate([part.reshape(len(thumbs), -1) for part in parts], axis=1)


def part_features(
    thumbs: np.ndarray, top: int = MIDDLE, left: int = MIDDLE, mirrored: bool = False
) -> np.ndarray:
    """float32 (n, 176) of one part of each thumbnail, linear in its pixels."""
    part = thumbs[:, top : top + PART, left : left + PART]
    y, blue, red = _planes(part[:, :, ::-1] if mirrored else part)
    cells = [_pooled(y, 2), _pooled(blue, 6), _pooled(red, 6)]
    return np.concatenate([cell.reshape(len(thumbs), -1) for cell in cells], axis=1)


def _planes(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Luminance, blue and red difference, float32."""
    values = rgb.astype(np.float32)
    y = values @ np.array([0.299, 0.587, 0.114], np.float32)
    return y, 0.564 * (values[..., 2] - y), 0.713 * (values[..., 0] - y)


def _pooled(plane: np.ndarray, cell: int) -> np.ndarray:
    """Means of square cells. (Adding slices is five times as fast as a mean over two axes.)"""
    n, side, _ = plane.shape
    rows = np.zeros((n, side // cell, side), np.float32)
    found = np.zeros((n, side // cell, side // cell), np.float32)
    for start in range(cell):
        rows += plane[:, start::cell]
    for start in range(cell):
        found += rows[:, :, start::cell]
    return found / np.float32(cell**2)


def _symmetric(plane: np.ndarray) -> np.ndarray:
    """What is equal in an image and its mirror image, (n, 2, h, w / 2)."""
    half = plane.shape[2] // 2
    left, right = plane[:, :, :half], plane[:, :, : half - 1 : -1]
    return np.stack([left + right, np.abs(left - right)], 1)


def copy_of(thumb: np.ndarray, shift: float, rng: np.random.Generator) -> np.ndarray:
    """The thumbnail as it might come back: shifted (pixels), scaled, lighter, recompressed."""
    side = thumb.shape[0]
    moved = rng.uniform(-shift, shift, 2) if rng.random() < 0.7 else np.zeros(2)
    scale = rng.uniform(0.95, 1.05) if rng.random() < 0.2 else 1.0
    borders = (cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)
    centre = (1 - scale) * side / 2
    matrix = np.array([[scale, 0, centre + moved[0]], [0, scale, centre + moved[1]]])
    image = cv2.warpAffine(thumb, matrix, (side, side), borderMode=borders[rng.integers(3)])
    if rng.random() < 0.3:
        image = cv2.convertScaleAbs(image, alpha=rng.uniform(0.9, 1.1), beta=rng.uniform(-12, 12))
    if rng.random() < 0.3:
        small = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        image = cv2.resize(small, (side, side), interpolation=cv2.INTER_LINEAR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))]
    encoded = cv2.imencode(".jpg", image, quality)[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))


def fit(
    thumbs: np.ndarray, features: Features, shift: float, kept: float
) -> tuple[np.ndarray, float]:
    """Directions, float32 (features, at most 64), and the distance within which copies lie.

    The thumbnails' order decides which of them are made copies of: give them in an order that
    does not depend on the table's.
    """
    chosen = np.linspace(0, len(thumbs) - 1, min(SAMPLE, len(thumbs))).astype(int)
    rng = np.random.default_rng(0)
    sources = np.repeat(chosen, COPIES)
    copies = features(np.stack([copy_of(thumbs[n], shift, rng) for n in sources]))
    originals = np.repeat(features(thumbs[chosen]), COPIES, axis=0)
    fitted = np.arange(len(copies)) // COPIES % 2 == 0  # the others say how far copies lie
    if fitted.all():
        fitted = np.arange(len(copies)) % 2 == 0
    directions = discriminant(originals[fitted], copies[fitted] - originals[fitted])
    away = np.linalg.norm((copies - originals)[~fitted] @ directions, axis=1)
    return directions, float(np.quantile(away, kept))


def discriminant(values: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """(features, at most 64): directions with unit deviation between copies, most telling first."""
    from scipy.linalg import eigh

    between = np.cov(values, rowvar=False).astype(np.float64)
    within = (differences.T.astype(np.float64) @ differences) / len(differences)
    within += np.eye(len(within)) * (1e-3 * np.trace(within) / len(within) + 1e-9)
    power, directions = eigh(between, within)
    return directions[:, np.argsort(power)[::-1][:DIMENSIONS]].astype(np.float32)


def candidates(thumbs: np.ndarray) -> np.ndarray:
    """int64 (m, 3): pairs of thumbnails, uint8 (n, 32, 32, 3), worth a closer look, first < second,
    and whether (1) one of the two seems to be mirrored.

    Brute force, the products in blocks: 17 s for 60,000 images on 2 cores, of which 5 s are fitting
    and describing, and the rest grows with the square of the number of images.
    """
    if len(thumbs) < 2:
        return np.zeros((0, 3), np.int64)
    directions, wide = fit(thumbs, invariant_features, 4, KEPT[0])
    batches = range(0, len(thumbs), BATCH)
    every = np.concatenate(
        [invariant_features(thumbs[n : n + BATCH]) @ directions for n in batches]
    )
    every -= every.mean(0)
    directions, near = fit(thumbs, part_features, 1.5, KEPT[1])
    parts_of = _parts_by(directions, len(thumbs))
    every_part = (parts_of(thumbs[n : n + BATCH]) for n in batches)
    middles = np.concatenate([parts[:, :, 4] for parts in every_part])
    found = [np.zeros((0, 3), np.int64)]
    for top in batches:
        first, second = _close(every, top, wide)
        parts = parts_of(thumbs[top : top + BATCH])
        found.append(_closer(first, second, parts, top, middles, near))
    return np.concatenate(found)


def _close(every: np.ndarray, top: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The pairs within ``radius`` of a row in top .. top + BATCH and a later one, by row."""
    # |a - b|² <= r² is a·b - |b|²/2 >= (|a|² - r²)/2: one more dimension, one comparison
    right = np.concatenate([every[top:], (every[top:] ** 2).sum(1, keepdims=True) / -2], axis=1)
    rows, columns = 512, 2048  # the products stay in the cache
    products, hit = np.empty((rows, columns), np.float32), np.empty((rows, columns), bool)
    found = []
    for start in range(0, min(BATCH, len(every) - top), rows):
        left = right[start : start + rows].copy()
        limit = -left[:, -1:] - radius**2 / 2
        left[:, -1] = 1
        for column in range(start - start % columns, len(right), columns):
            other = right[column : column + columns]
            shape = (slice(len(left)), slice(len(other)))
            np.matmul(left, other.T, out=products[shape])
            np.greater_equal(products[shape], limit, out=hit[shape])
            i, j = np.divmod(np.flatnonzero(hit[shape]), len(other))
            i, j = i + (start + top), j + (column + top)
            found.append(np.stack([i, j])[:, i < j])
    pairs = np.concatenate(found, axis=1)
    first, second = pairs[:, np.argsort(pairs[0], kind="stable")]
    return first, second


def _parts(images: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """float32 (n, dimensions, 18): 9 parts as they are, the middle one fifth, and 9 mirrored."""
    corners = [MIDDLE + step * STEP for step in (-1, 0, 1)]
    parts = [
        part_features(images, top, left, mirrored) @ directions
        for mirrored in (False, True)
        for top in corners
        for left in corners
    ]
    return np.stack(parts, axis=2)


def _parts_by(directions: np.ndarray, images: int) -> Callable[[np.ndarray], np.ndarray]:
    """The same as a function of thumbnails: for many images one product, as parts are linear."""
    if images < BATCH:
        return lambda thumbs: _parts(thumbs, directions)
    side = PART + 2 * MIDDLE
    pixels = np.eye(side * side * 3, dtype=np.float32).reshape(-1, side, side, 3)
    projection = _parts(pixels, directions).reshape(len(pixels), -1)

    def product(thumbs: np.ndarray) -> np.ndarray:
        flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
        return (flat @ projection).reshape(len(thumbs), -1, 18)

    return product


def _closer(
    first: np.ndarray, second: np.ndarray, parts: np.ndarray, top: int, middles: np.ndarray,
    radius: float,
) -> np.ndarray:  # fmt: skip
    """Of pairs sorted by the first, those where a part of it is within ``radius`` of the second."""
    bounds = np.searchsorted(first, np.arange(top, top + len(parts) + 1))
    found = [np.zeros((0, 3), np.int64)]
    norms = (middles**2).sum(1)
    for n, part in enumerate(parts):
        others = second[bounds[n] : bounds[n + 1]]
        if len(others):
            squares = (part**2).sum(0) - 2 * (middles[others] @ part) + norms[others, None]
            kept = squares.min(1) <= radius**2
            mirrored = squares[kept].argmin(1) >= 9
            row = np.full(len(mirrored), n + top)
            found.append(np.stack([row, others[kept], mirrored], axis=1))
    return np.concatenate(found)
