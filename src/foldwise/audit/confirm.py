"""Are two images copies of one another? Decided by their pixels, aligned by cross-correlation."""

from dataclasses import dataclass

import cv2
import numpy as np

REACH = 5  # pixels of a thumbnail's 32: the furthest shift
BATCH = 1024
WORTH = 0.30  # correlation of fine structure below which nobody looks further


@dataclass(frozen=True)
class Match:
    """How well pairs agree where they overlap, float32 (m,) each.

    whole: correlation of luminance; fine: of what a blur removes from it; rest: the root mean
    square of what is left of the colours after the best gain and offset, as a share of the
    deviation. mirrored: bool. shift: int (m, 2), down and right.
    """

    whole: np.ndarray
    fine: np.ndarray
    rest: np.ndarray
    mirrored: np.ndarray
    shift: np.ndarray


def luminance(thumbs: np.ndarray) -> np.ndarray:
    return thumbs.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def detail(planes: np.ndarray) -> np.ndarray:
    """What a blur by 1.5 pixels removes, after one by 0.6 has taken the noise; (n, h, w)."""
    blur = [cv2.GaussianBlur(p, (0, 0), 0.6) - cv2.GaussianBlur(p, (0, 0), 2.0) for p in planes]
    return np.stack(blur)


def align(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best shift of each pair: its correlation, whether ``one`` is mirrored, and the shift.

    one, other: thumbnails, uint8 (m, 32, 32, 3). Correlations of fine structure for all shifts at
    once through the Fourier transform.
    """
    n, side = len(one), one.shape[1]
    window = np.hanning(side + 4)[2:-2].astype(np.float32)

    def spectrum(planes: np.ndarray) -> np.ndarray:
        planes = (planes - planes.mean((1, 2), keepdims=True)) * window[:, None] * window
        scale = np.sqrt((planes**2).sum((1, 2), keepdims=True)) + 1e-3
        return np.fft.rfft2(planes / scale)

    a, b = detail(luminance(one)), detail(luminance(other))
    spectrum_b = spectrum(b)
    best = []
    near = np.r_[0 : REACH + 1, side - REACH : side]
    for planes in (a, a[:, :, ::-1]):
        products = np.fft.irfft2(spectrum_b * spectrum(planes).conj(), s=(side, side))
        best.append(products[:, near[:, None], near].reshape(n, -1))
    both = np.concatenate(best, axis=1)
    place = both.argmax(1)
    mirrored, place = np.divmod(place, len(near) ** 2)
    steps = np.where(near > REACH, near - side, near)
    shift = np.stack([steps[place // len(near)], steps[place % len(near)]], axis=1)
    return both.max(1), mirrored.astype(bool), shift


def compare(one: np.ndarray, other: np.ndarray) -> Match:
    """Agreement of pairs of thumbnails, uint8 (m, 32, 32, 3), at their best shift."""
    _, mirrored, shift = align(one, other)
    one = np.where(mirrored[:, None, None, None], one[:, :, ::-1], one)
    side = one.shape[1]
    place = np.arange(side)
    y, x = place - shift[:, :1], place - shift[:, 1:]  # where in `one` a pixel of `other` lies
    inside = ((y >= 0) & (y < side))[:, :, None] & ((x >= 0) & (x < side))[:, None, :]
    y, x = y.clip(0, side - 1)[:, :, None], x.clip(0, side - 1)[:, None, :]
    rows = np.arange(len(one))[:, None, None]
    moved = one[rows, y, x].astype(np.float32)
    fine_a = detail(luminance(one))[rows, y, x]
    light_a, light_b, fine_b = luminance(moved), luminance(other), detail(luminance(other))
    # The outermost two pixels of detail have seen the border of a shifted image.
    inner = inside.copy()
    inner[:, :2] = inner[:, -2:] = inner[:, :, :2] = inner[:, :, -2:] = False
    return Match(
        _correlation(light_a, light_b, inside),
        _correlation(fine_a, fine_b, inner),
        _rest(moved, other.astype(np.float32), inside),
        mirrored,
        shift,
    )


def _correlation(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> np.ndarray:
    count = mask.sum((1, 2))
    a = (a - ((a * mask).sum((1, 2)) / count)[:, None, None]) * mask
    b = (b - ((b * mask).sum((1, 2)) / count)[:, None, None]) * mask
    scale = np.sqrt((a**2).sum((1, 2)) * (b**2).sum((1, 2)))
    return (a * b).sum((1, 2)) / (scale + 1e-3)


def _rest(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """One gain for the three channels, an offset for each."""
    count = mask.sum((1, 2))[:, None, None, None]
    mask = mask[..., None]
    a = (a - (a * mask).sum((1, 2), keepdims=True) / count) * mask
    b = (b - (b * mask).sum((1, 2), keepdims=True) / count) * mask
    aa, bb, ab = ((u * v).sum((1, 2, 3)) for u, v in ((a, a), (b, b), (a, b)))
    return np.sqrt(np.maximum(1 - ab * np.abs(ab) / (aa * bb + 1e-3), 0))
