"""What the network sees of an image that was decoded larger: real pixels, the right ones."""

import cv2
import numpy as np
import pytest
import torch

from foldwise.config import Augment, Images
from foldwise.images.pipeline import pipeline_of
from foldwise.images.window import _sampled, decode_side, middle, random_part

RANDOM = np.random.default_rng(0)
NOISE = torch.from_numpy(RANDOM.integers(0, 256, (6, 32, 32, 3), np.uint8))


def photograph(side: int, channels: int = 3) -> np.ndarray:
    """Smooth, and different everywhere."""
    small = np.random.default_rng(1).integers(0, 256, (8, 8, channels), np.uint8)
    planes = [cv2.resize(small[..., c], (side, side), interpolation=cv2.INTER_CUBIC)
              for c in range(channels)]  # fmt: skip
    return np.stack(planes, axis=2)


@pytest.mark.parametrize(("settings", "side"), [
    (Images(size=224), 224), (Images(size=224, crop_pct=0.875), 256),
    (Images(size=224, decode_size=320, crop_pct=0.875), 320), (Images(size=28, crop_pct=0.9), 31),
])  # fmt: skip
def test_the_side_that_files_are_decoded_at(settings: Images, side: int) -> None:
    assert decode_side(settings) == side
    assert round(side * settings.crop_pct) >= settings.size


def test_images_of_the_networks_size_are_as_they_are() -> None:
    settings, augment = Images(size=32), Augment(crop=0.3)
    assert middle(NOISE, settings) is NOISE
    part, left = random_part(NOISE, settings, augment)
    assert part is NOISE and left is augment  # the crop is the matrix's, as ever


def test_the_middle_is_whole_pixels_where_it_can_be() -> None:
    seen = middle(NOISE, Images(size=28, crop_pct=0.875))
    assert torch.equal(seen, NOISE[:, 2:30, 2:30])


def test_random_parts_are_whole_pixels_everywhere_in_the_image() -> None:
    torch.manual_seed(0)
    images = NOISE[:1].expand(400, -1, -1, -1)
    parts, _ = random_part(images, Images(size=28, crop_pct=0.875), Augment())
    found = set()
    for part in parts:
        at = [(y, x) for y in range(5) for x in range(5)
              if torch.equal(part, NOISE[0, y : y + 28, x : x + 28])]  # fmt: skip
        assert len(at) == 1
        found |= set(at)
    assert len(found) == 25


def test_a_random_resized_crop_keeps_the_detail_that_was_decoded() -> None:
    """A quarter of a fine pattern: cut from the decoded image it stays, enlarged it is gone."""
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    large = torch.from_numpy(stripes)[None].expand(32, -1, -1, -1)
    small = torch.from_numpy(cv2.resize(stripes, (64, 64), interpolation=cv2.INTER_AREA))
    augment = Augment(crop=0.25, crop_ratio=1.0, shift=0)
    torch.manual_seed(1)
    kept, left = random_part(large, Images(size=64, decode_size=128), augment)
    assert kept.shape == (32, 64, 64, 3) and left.crop == 1
    contrast = kept.float().std(dim=(1, 2, 3))
    assert contrast.max() > 60  # the smallest parts show the stripes
    assert small.float().std() < 5  # of which nothing is left at the network's size


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize("side", [40, 96])
def test_a_gpu_samples_what_a_processor_resizes(side: int, channels: int) -> None:
    """Smooth images: the ways to average differ in fine detail alone."""
    images = torch.from_numpy(photograph(side, channels))[None].expand(8, -1, -1, -1)
    whole = torch.tensor([[0, 0, side, side]]).expand(8, 4)
    there = _sampled(images, whole, 32)
    here = middle(images, Images(size=32, decode_size=side))
    assert here.shape == there.shape == (8, 32, 32, channels)
    assert (here.int() - there.int()).abs().float().mean() < 3
    torch.manual_seed(3)
    parts, _ = random_part(images, Images(size=32, decode_size=side), Augment(crop=0.5))
    assert parts.shape == (8, 32, 32, channels)


def test_a_gpu_copies_whole_pixels() -> None:
    boxes = torch.tensor([[2, 5, 24, 24]]).expand(6, 4)
    assert torch.equal(_sampled(NOISE, boxes, 24), NOISE[:, 2:26, 5:29])


def test_a_pipeline_sees_what_was_decoded() -> None:
    images = Images(size=28, crop_pct=0.875)
    cropping = pipeline_of(
        Augment(pipeline=[{"RandomCrop": {"height": 28, "width": 28}}]), images, 3, 1
    )
    flipping = pipeline_of(Augment(pipeline=[{"HorizontalFlip": {"p": 1}}]), images, 3, 1)
    assert cropping and flipping
    image = NOISE[0].numpy()
    windows = [image[y : y + 28, x : x + 28] for y in range(5) for x in range(5)]
    part = cropping(image, (0, 0, 0, 0))
    assert part.shape == (28, 28, 3) and any((part == window).all() for window in windows)
    assert (flipping(image, (0, 0, 0, 0)) == image[:, ::-1]).all()  # a part is taken afterwards
    now_and_then = {"RandomCrop": {"height": 28, "width": 28, "p": 0.5}}
    some = pipeline_of(Augment(pipeline=[now_and_then]), images, 3, 1)
    assert some
    for row in range(20):  # whole pixels, whether it crops or not
        part = some(image, (0, 0, 0, row))
        assert any((part == window).all() for window in windows)
