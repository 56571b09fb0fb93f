"""Small pictures for people to look at."""

import cv2
import numpy as np

from foldwise.containers import JOINED
from foldwise.images.decode import UnreadableImage, decode


def thumb(name: str, side: int) -> np.ndarray | None:
    """An image as uint8 RGB (height, width, 3), its longer side ``side`` pixels at most.

    The images of a row that has several stand beside each other. None where one does not decode.
    """
    parts = []
    for part in name.split(JOINED):
        try:
            parts.append(_shrunk(decode(part, 3), side))
        except UnreadableImage:
            return None
    if len(parts) > 1:
        height = min(part.shape[0] for part in parts)
        widths = [max(1, round(part.shape[1] * height / part.shape[0])) for part in parts]
        parts = [cv2.resize(p, (w, height)) for p, w in zip(parts, widths, strict=True)]
    return _shrunk(np.hstack(parts), side)


def _shrunk(image: np.ndarray, side: int) -> np.ndarray:
    longest = max(image.shape[:2])
    if longest <= side:
        return image
    height, width = (max(1, round(n * side / longest)) for n in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
