"""Images with captions in rows, as one PNG."""

import logging
import math
import warnings
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

BOX = 168  # pixels of the picture that a tile's side gets, or a little less
WIDTH = 1480  # of the picture, at most: 8 columns of square images
GAP, MARGIN = 12, 20
LINE, SMALL = 19, 16  # pixels from line to line of captions, and of what is written below them
DARK, GRAY = "#1a1a1a", "#666666"
FRAME = 221  # light gray: an image with a white border has an edge, too
FAST = (cv2.IMWRITE_PNG_COMPRESSION, 3)
OTHER_SCRIPTS = (  # fonts that have what matplotlib's own has not, where one is installed
    *("Noto Sans CJK JP", "Noto Sans JP", "IPAexGothic", "Hiragino Sans", "Yu Gothic"),
    *("WenQuanYi Zen Hei", "Noto Sans", "Arial Unicode MS"),
)


@dataclass(frozen=True)
class Tile:
    """An image, uint8 (height, width, channels), and what is written under it."""

    image: np.ndarray
    caption: str = ""
    detail: str = ""  # in small letters


@dataclass(frozen=True)
class Strip:
    """Tiles that belong together; they take as many rows as they need."""

    tiles: list[Tile]
    title: str = ""


def picture(title: str, note: str, strips: list[Strip]) -> bytes:
    """A PNG of all strips, whose images have one shape. ``note``: small, under the title.

    Small images are enlarged by whole numbers, pixel by pixel. Captions are wrapped to two lines.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a letter that no font has: a box stands for it
        return _Page(strips).png(title, note)


def rgb(image: np.ndarray) -> np.ndarray:
    """uint8 (height, width, channels) -> (…, 3): gray as gray, images stacked side by side.

    Channels in threes are taken for RGB, as in augmentation.
    """
    height, width, channels = image.shape
    step = 3 if channels % 3 == 0 else 1
    parts = [image[:, :, n : n + step] for n in range(0, channels, step)]
    columns = math.ceil(math.sqrt(len(parts)))
    rows, gap = math.ceil(len(parts) / columns), max(1, width // 16) if len(parts) > 1 else 0
    page = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for n, part in enumerate(parts):
        top, left = n // columns * (height + gap), n % columns * (width + gap)
        page[top : top + height, left : left + width] = part
    return page


def arrangement(channels: int) -> str:
    """What `rgb` does to more than three channels, for people; '' for gray and RGB."""
    if channels in (1, 3):
        return ""
    images, kind = (channels // 3, "RGB") if channels % 3 == 0 else (channels, "gray")
    return f"{channels} channels: {images} {kind} images side by side"


def _enlarged(image: np.ndarray) -> np.ndarray:
    """At about BOX pixels of height: pixel by pixel where it is small, averaged where large."""
    height, width = image.shape[:2]
    factor = BOX // height
    if factor >= 2:
        return image.repeat(factor, axis=0).repeat(factor, axis=1)
    way = cv2.INTER_AREA if height > BOX else cv2.INTER_CUBIC
    return cv2.resize(image, (round(width * BOX / height), BOX), interpolation=way)


class _Page:
    """The places of everything, in pixels from the top left corner."""

    def __init__(self, strips: list[Strip]) -> None:
        from matplotlib import font_manager
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
        installed = {font.name for font in font_manager.fontManager.ttflist}
        self.fonts = ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in installed)]
        self.figure = Figure(dpi=100)
        self.canvas = FigureCanvasAgg(self.figure)
        self.renderer = self.canvas.get_renderer()
        self.strips = strips
        shapes = [_enlarged(rgb(tile.image)).shape for strip in strips for tile in strip.tiles]
        self.tall, self.wide = shapes[0][:2]
        self.columns = max(1, (WIDTH - 2 * MARGIN + GAP) // (self.wide + GAP))
        self.texts: list[tuple[float, float, str, dict[str, Any]]] = []

    def png(self, title: str, note: str) -> bytes:
        widest = max(min(len(strip.tiles), self.columns) for strip in self.strips)
        width = max(2 * MARGIN + widest * (self.wide + GAP) - GAP, 640)
        self._write(MARGIN, MARGIN, title, size=16, weight="bold")
        self._write(MARGIN, MARGIN + 28, note, size=11, color=GRAY)
        rows: list[tuple[int, list[np.ndarray]]] = []
        top = MARGIN + 60
        for strip in self.strips:
            if strip.title:
                self._write(MARGIN, top, strip.title, size=12, weight="bold")
                top += 26
            for start in range(0, len(strip.tiles), self.columns):
                tiles = strip.tiles[start : start + self.columns]
                rows.append((top, [_enlarged(rgb(tile.image)) for tile in tiles]))
                top += self.tall + 4 + self._captions(tiles, top + self.tall + 4) + GAP
        page = self._written(top + MARGIN - GAP, width)
        for place, images in rows:
            for n, image in enumerate(images):
                left = MARGIN + n * (self.wide + GAP)
                page[place - 1 : place + self.tall + 1, left - 1 : left + self.wide + 1] = FRAME
                page[place : place + self.tall, left : left + self.wide] = image
        return cv2.imencode(".png", page[:, :, ::-1], FAST)[1].tobytes()

    def _captions(self, tiles: list[Tile], top: int) -> int:
        """Writes what is under a row of tiles; its height."""
        height = 0
        for n, tile in enumerate(tiles):
            left, below = MARGIN + n * (self.wide + GAP), 0
            for text, size, line, colour in (
                (tile.caption, 11.5, LINE, DARK),
                (tile.detail, 9.5, SMALL, GRAY),
            ):
                for words in self._wrapped(text, size):
                    self._write(left, top + below, words, size=size, color=colour)
                    below += line
            height = max(height, below)
        return height

    def _wrapped(self, text: str, size: float) -> list[str]:
        """Lines that are no wider than a tile: two of them, the rest left out."""
        lines: list[str] = []
        for word in text.split(" ") if text else ():
            if lines and self._width(f"{lines[-1]} {word}", size) <= self.wide:
                lines[-1] += f" {word}"
            else:
                lines.append(word)
        if len(lines) > 2:
            lines = [lines[0], f"{lines[1]} …"]
        return [self._cut(line, size) for line in lines]

    def _cut(self, line: str, size: float) -> str:
        if self._width(line, size) <= self.wide:
            return line
        keep = len(line)
        while keep > 1 and self._width(f"{line[:keep]}…", size) > self.wide:
            keep -= 1
        return f"{line[:keep]}…"

    def _width(self, text: str, size: float) -> float:
        from matplotlib.font_manager import FontProperties

        font = FontProperties(family=self.fonts, size=size)
        return float(self.renderer.get_text_width_height_descent(text, font, False)[0])

    def _write(self, left: float, top: float, text: str, **style: Any) -> None:
        self.texts.append((left, top, text, style))

    def _written(self, height: int, width: int) -> np.ndarray:
        """uint8 (height, width, 3): all that is to be written, on white."""
        self.figure.set_size_inches(width / 100, height / 100)
        for left, top, text, style in self.texts:
            self.figure.text(
                left / width, 1 - top / height, text, va="top", family=self.fonts,
                parse_math=False, **style,
            )  # fmt: skip
        self.canvas.draw()
        return np.asarray(self.canvas.buffer_rgba())[:, :, :3].copy()
