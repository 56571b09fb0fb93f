"""Are two images copies of one another? Decided by their pixels, aligned by cross-correlation."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

REACH = 6  # the furthest shift: a sixth of the side, 5 pixels of a thumbnail's 32
CLOSE = 96  # pixels a side: photographs are compared again at this size
BATCH = 1024
WORTH = 0.65  # correlation of fine structure below which nobody looks further


@dataclass(frozen=True)
class Match:
    """How well pairs agree where they overlap, float32 (m,) each.

    whole: correlation of luminance; fine: of what a blur removes from it.
    """

    whole: np.ndarray
    fine: np.ndarray


def luminance(thumbs: np.ndarray) -> np.ndarray:
    return thumbs.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def detail(planes: np.ndarray) -> np.ndarray:
    """What a blur by 2 pixels removes, after one by 0.6 has taken the noise; (n, h, w)."""
    found = np.empty_like(planes)
    for plane, fine in zip(planes, found, strict=True):
        fine[:] = cv2.GaussianBlur(plane, (0, 0), 0.6) - cv2.GaussianBlur(plane, (0, 0), 2.0)
    return found


def spectrum(images: np.ndarray) -> np.ndarray:
    """complex64 (n, side, side / 2 + 1): the Fourier transform of the fine structure of images,
    uint8 (n, side, side, 3), which is brought to length one."""
    side = images.shape[1]
    window = np.hanning(side + 4)[2:-2].astype(np.float32)
    planes = detail(luminance(images)) * (window[:, None] * window)
    scale = np.sqrt(np.einsum("nij,nij->n", planes, planes)) + 1e-3
    return np.fft.rfft2(planes / scale[:, None, None]).astype(np.complex64)


def mirrored(spectra: np.ndarray) -> np.ndarray:
    """The spectra of the mirror images."""
    side = spectra.shape[1]
    turn = np.exp(2j * np.pi * np.arange(spectra.shape[2]) / side).astype(np.complex64)
    return spectra[:, -np.arange(side) % side].conj() * turn


def align(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best shift of each pair, float (m, 2) down and right, and the correlation there.

    one, other: spectra, complex64 (m, side, side / 2 + 1). Correlations for all shifts at once
    (Anuta 1970); between pixels, to a quarter of one, by the parabola through the best three.
    """
    side = one.shape[1]
    products = np.fft.irfft2(other * one.conj(), s=(side, side))
    reach = side // REACH
    near = np.r_[0 : reach + 1, side - reach : side]
    place = products[:, near[:, None], near].reshape(len(one), -1).argmax(1)
    y, x = near[place // len(near)], near[place % len(near)]
    rows = np.arange(len(one))
    peak = products[rows, y, x]
    fractions = [
        _vertex(products[rows, y - 1, x], peak, products[rows, (y + 1) % side, x]),
        _vertex(products[rows, y, x - 1], peak, products[rows, y, (x + 1) % side]),
    ]
    whole = np.stack([y, x], axis=1)
    return np.where(whole > reach, whole - side, whole) + np.stack(fractions, axis=1), peak


def _vertex(before: np.ndarray, peak: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Where between -0.5 and 0.5 a parabola through three points is highest, in quarters."""
    bend = np.maximum(2 * peak - before - after, 1e-6)
    return np.round(((after - before) / bend / 2).clip(-0.5, 0.5) * 4) / 4


def moved(planes: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """float32 (m, h, w) moved by (down, right), bilinear, the border repeated."""
    side = planes.shape[1]
    rows = np.arange(len(planes))[:, None, None]
    start = np.floor(-shift).astype(int)
    part = (-shift - start).astype(np.float32)[:, :, None, None]
    total = np.zeros_like(planes)
    for down in (0, 1):
        for right in (0, 1):
            y = (np.arange(side) + start[:, :1] + down).clip(0, side - 1)[:, :, None]
            x = (np.arange(side) + start[:, 1:] + right).clip(0, side - 1)[:, None, :]
            weight = np.abs(1 - down - part[:, 0]) * np.abs(1 - right - part[:, 1])
            total += weight * planes[rows, y, x]
    return total


def compare(one: np.ndarray, other: np.ndarray, shift: np.ndarray) -> Match:
    """Agreement of pairs of images, uint8 (m, side, side, 3), the first shifted, float (m, 2).

    The two outermost pixels are left out: a shifted image's border reaches into them.
    """
    side = one.shape[1]
    place = np.arange(side)
    y, x = place - shift[:, :1], place - shift[:, 1:]  # where in `one` a pixel of `other` lies
    edge = (place >= 2) & (place < side - 2)
    rows_inside, columns_inside = ((at >= 2) & (at < side - 2) & edge for at in (y, x))
    inside = (rows_inside[:, :, None] & columns_inside[:, None, :]).astype(np.float32)
    light_a, light_b = luminance(one), luminance(other)
    return Match(
        _correlation(moved(light_a, shift), light_b, inside),
        _correlation(moved(detail(light_a), shift), detail(light_b), inside),
    )


def _correlation(a: np.ndarray, b: np.ndarray, mask: np.ndarray) -> np.ndarray:
    count = mask.sum((1, 2))
    a = (a - ((a * mask).sum((1, 2)) / count)[:, None, None]) * mask
    b = (b - ((b * mask).sum((1, 2)) / count)[:, None, None]) * mask
    scale = np.sqrt((a**2).sum((1, 2)) * (b**2).sum((1, 2)))
    return (a * b).sum((1, 2)) / (scale + 1e-3)


def confirmed(thumbs: np.ndarray, pairs: np.ndarray, workers: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the candidates (m, 3: first, second, mirrored) are copies, and how similar, 0 to 1.

    Returns bool (m,) and float (m,), the mean of the two correlations.
    Memory: 4.4 KB an image for the spectra.
    """
    batches = [pairs[n : n + BATCH] for n in range(0, len(pairs), BATCH)]
    with threadpool_limits(1), ThreadPoolExecutor(workers or None) as pool:
        starts = range(0, len(thumbs), BATCH)
        parts = list(pool.map(lambda n: spectrum(thumbs[n : n + BATCH]), starts))
        spectra = np.concatenate(parts) if parts else np.zeros(0, np.complex64)
        del parts
        done = list(pool.map(lambda batch: _confirm(thumbs, spectra, batch), batches))
    if not done:
        return np.zeros(0, bool), np.zeros(0)
    return np.concatenate([d[0] for d in done]), np.concatenate([d[1] for d in done])


def _confirm(
    thumbs: np.ndarray, spectra: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    first, flipped = spectra[pairs[:, 0]], pairs[:, 2] == 1
    first[flipped] = mirrored(first[flipped])
    shift, peak = align(first, spectra[pairs[:, 1]])
    worth = peak >= WORTH
    if not worth.any():
        return worth, np.zeros(len(pairs))
    one, other = thumbs[pairs[worth, 0]], thumbs[pairs[worth, 1]]
    one = np.where(flipped[worth][:, None, None, None], one[:, :, ::-1], one)
    match = compare(one, other, shift[worth])
    same, similarity = np.zeros(len(pairs), bool), np.zeros(len(pairs))
    same[worth] = copies(match)
    similarity[worth] = ((match.whole + match.fine) / 2).clip(0, 1)
    return same, similarity


def copies(match: Match) -> np.ndarray:
    """bool (m,). Two images of one kind of scene (a ship on the sea, a plane in the sky) agree in
    the whole or in detail; copies in both. Chosen on CIFAR-10's natural and planted duplicates.
    """
    usual = (match.whole >= 0.9) & (match.fine >= 0.8)
    return usual | ((match.whole >= 0.8) & (match.fine >= 0.87))


def confirmed_by_detail(one: np.ndarray, other: np.ndarray) -> bool:
    """The same question for two images in full, uint8 (h, w, 3), neither mirrored now.

    At 32 pixels two photographs of one hand before one wall may look like one; at 96 they do not.
    """
    first, second = (
        cv2.resize(image, (CLOSE, CLOSE), interpolation=cv2.INTER_AREA)[None]
        for image in (one, other)
    )
    shift, _ = align(spectrum(first), spectrum(second))
    match = compare(first, second, shift)
    return bool(match.whole[0] >= 0.8 and match.fine[0] >= 0.8)
