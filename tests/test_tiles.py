"""What is on a sheet are the images' own pixels, and no caption runs into its neighbour's."""

import warnings

import cv2
import numpy as np
import pytest

from foldwise.tiles import BOX, GAP, MARGIN, Strip, Tile, arrangement, picture, rgb

RANDOM = np.random.default_rng(0)


def images(count: int, side: int, channels: int = 3) -> list[np.ndarray]:
    return list(RANDOM.integers(0, 256, (count, side, side, channels), np.uint8))


def drawn(strips: list[Strip]) -> np.ndarray:
    data = np.frombuffer(picture("a title", "a note", strips), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)


def found(page: np.ndarray, tile: np.ndarray) -> int:
    """The row in which ``tile`` stands at the left margin, exactly."""
    height, width = tile.shape[:2]
    for top in range(len(page) - height):
        if np.array_equal(page[top : top + height, MARGIN : MARGIN + width], tile):
            return top
    raise AssertionError("it is not on the page")


@pytest.mark.parametrize(("side", "factor"), [(8, 21), (32, 5), (80, 2)])
def test_small_images_are_enlarged_pixel_by_pixel(side: int, factor: int) -> None:
    tiles = [Tile(image, "x") for image in images(11, side)]
    page = drawn([Strip(tiles[:9], "strip"), Strip(tiles[9:])])
    large = [t.image.repeat(factor, axis=0).repeat(factor, axis=1) for t in tiles]
    rows = [found(page, large[n]) for n in (0, 8, 9)]
    assert rows == sorted(rows)
    second = page[rows[0] :, MARGIN + len(large[0]) + GAP :]
    assert np.array_equal(second[: len(large[1]), : len(large[1])], large[1])


def test_large_images_are_made_smaller() -> None:
    page = drawn([Strip([Tile(np.full((400, 400, 3), 77, np.uint8))])])
    assert found(page, np.full((BOX, BOX, 3), 77, np.uint8)) < 100


def test_channels() -> None:
    gray, stacked, four = images(1, 16, 1)[0], images(1, 16, 6)[0], images(1, 16, 4)[0]
    assert np.array_equal(rgb(gray), gray.repeat(3, axis=2)) and arrangement(1) == ""
    both = rgb(stacked)
    assert np.array_equal(both[:, :16], stacked[:, :, :3])
    assert np.array_equal(both[:, 17:], stacked[:, :, 3:])
    assert arrangement(6) == "6 channels: 2 RGB images side by side"
    square = rgb(four)
    assert square.shape == (33, 33, 3)
    assert np.array_equal(square[17:, :16, 0], four[:, :, 2])
    assert arrangement(4) == "4 channels: 4 gray images side by side"


@pytest.mark.parametrize("text", ["x" * 300, "many words " * 40, "猫" * 60, "$x_1$ <b> " * 9])
def test_a_caption_stays_under_its_image(text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiles = [Tile(image, words) for image, words in zip(images(2, 8), (text, ""), strict=True)]
        page = drawn([Strip(tiles)])
    large = tiles[0].image.repeat(21, axis=0).repeat(21, axis=1)
    under = page[found(page, large) + BOX + 1 :]
    assert (under[:, MARGIN : MARGIN + BOX] < 128).any()
    assert (under[:, MARGIN + BOX + GAP :] == 255).all()
