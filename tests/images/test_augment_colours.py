"""One colour matrix is torchvision's adjustments in turn; holes and noise are what they say."""

import math

import cv2
import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

from foldwise.config import Augment
from foldwise.images.augment import augment
from foldwise.images.colour import (
    Jitter,
    blurred,
    draw_cutout,
    draw_erasing,
    draw_jitter,
    draw_noise,
    draw_sigma,
    jittered,
    mask_of,
)

CPU = torch.device("cpu")
LUMA = torch.tensor([0.299, 0.587, 0.114])


def middling(count: int = 5, channels: int = 3) -> Tensor:
    """float32 (count, channels, 9, 9) that no small change takes out of 0..255."""
    return torch.rand(count, channels, 9, 9, generator=torch.Generator().manual_seed(0)) * 80 + 80


def test_one_matrix_is_torchvisions_adjustments_in_turn() -> None:
    torch.manual_seed(0)
    settings = Augment(brightness=0.2, contrast=0.2, saturation=0.3)
    jitter = draw_jitter(settings, 5, 3, CPU)
    assert jitter.brightness is not None and jitter.contrast is not None
    assert jitter.chroma is not None
    once = jittered(middling(), jitter)
    for n, image in enumerate(middling()):
        # A matrix of saturation s takes gray out of a colour, and gives s times what is left.
        saturation = (jitter.chroma[n] @ torch.tensor([1.0, 0, 0]))[0] - LUMA[0]
        theirs = vision.adjust_brightness(image / 255, jitter.brightness[n].item())
        theirs = vision.adjust_contrast(theirs, jitter.contrast[n].item())
        theirs = vision.adjust_saturation(theirs, (saturation / (1 - LUMA[0])).item())
        torch.testing.assert_close(once[n], theirs * 255, rtol=0, atol=0.1)


def test_hue_turns_about_gray_and_keeps_luma() -> None:
    torch.manual_seed(0)
    jitter = draw_jitter(Augment(hue=0.5), 5, 3, CPU)
    turned = jittered(middling(), jitter)
    assert (turned - middling()).abs().max() > 20
    luma = torch.tensordot(middling(), LUMA, dims=([1], [0]))
    torch.testing.assert_close(
        torch.tensordot(turned, LUMA, dims=([1], [0])), luma, rtol=0, atol=0.1
    )
    gray = torch.full((5, 3, 4, 4), 99.0)
    torch.testing.assert_close(jittered(gray, jitter), gray, rtol=0, atol=0.1)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_what_is_not_rgb_has_no_saturation_or_hue(channels: int) -> None:
    images = middling(channels=channels)
    jitter = draw_jitter(Augment(saturation=1, hue=0.5), 5, channels, CPU)
    assert jittered(images, jitter) is images
    jitter = draw_jitter(Augment(brightness=0.2, contrast=0.2, hue=0.5), 5, channels, CPU)
    assert not torch.equal(jittered(images, jitter), images)


def test_stacked_images_change_alike() -> None:
    pair = middling().repeat(1, 2, 1, 1)
    torch.manual_seed(0)
    settings = Augment(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.1)
    changed = jittered(pair, draw_jitter(settings, 5, 6, CPU))
    torch.testing.assert_close(changed[:, :3], changed[:, 3:])


def test_what_is_not_chosen_stays() -> None:
    torch.manual_seed(0)
    settings = Augment(shift=0, brightness=0.5, contrast=0.5, saturation=0.5, jitter_prob=0.25)
    images = middling(800).permute(0, 2, 3, 1).byte()
    still = (augment(images, settings) == images).flatten(1).all(1).float().mean()
    assert 0.7 < still < 0.8


def test_no_colour_leaves_the_range() -> None:
    torch.manual_seed(0)
    wild = Jitter(torch.tensor([3.0]), torch.tensor([3.0]), None)
    result = jittered(torch.tensor([0.0, 255.0, 128.0]).view(1, 3, 1, 1), wild)
    assert (result.min(), result.max()) == (0, 255)


@pytest.mark.parametrize("sigma", [0.5, 1.5])
def test_blur_is_opencvs(sigma: float) -> None:
    image = torch.rand(1, 3, 40, 32) * 255
    ours = blurred(image, torch.tensor([sigma]))[0].permute(1, 2, 0).numpy()
    theirs = cv2.GaussianBlur(image[0].permute(1, 2, 0).numpy(), (17, 17), sigma)
    assert abs(ours - theirs)[8:-8, 8:-8].max() < 0.5
    sharp = blurred(image, torch.tensor([0.01]))
    torch.testing.assert_close(sharp, image)


def test_the_share_of_images_that_blur() -> None:
    torch.manual_seed(0)
    sigma = draw_sigma(Augment(blur=0.3, blur_sigma=2), 4000, CPU)
    assert sigma is not None
    chosen = sigma[sigma >= 0.1]
    assert 0.27 < len(chosen) / 4000 < 0.33
    assert chosen.max() <= 2


def test_holes_are_as_many_and_as_large_as_asked() -> None:
    torch.manual_seed(0)
    settings = Augment(cutout=0.5, cutout_holes=3, cutout_size=0.25)
    holes = draw_cutout(settings, 2000, 40, 40, CPU)
    assert holes is not None
    counts = (holes.bottom > holes.top).sum(1)
    assert 0.45 < (counts > 0).float().mean() < 0.55
    assert set(counts.tolist()) == {0, 1, 2, 3}
    assert (holes.right - holes.left == 10).all()
    area = mask_of(holes, 40, 40).flatten(1).sum(1)
    assert area.max() <= 300
    assert (area[counts > 0] >= 25).all()  # a corner of a hole is always inside
    assert (area[counts == 0] == 0).all()


def test_a_hole_is_gray_and_nothing_else_changes() -> None:
    torch.manual_seed(0)
    images = torch.full((50, 20, 20, 3), 7, dtype=torch.uint8)
    result = augment(images, Augment(shift=0, cutout=1, cutout_size=0.3))
    assert set(result.unique().tolist()) == {7, 128}
    assert ((result == 128).flatten(1).sum(1) <= 36 * 3).all()


def test_an_erased_rectangle_is_random_and_inside() -> None:
    torch.manual_seed(0)
    holes = draw_erasing(Augment(erase=1, erase_area=0.3), 2000, 50, 50, CPU)
    assert holes is not None
    tall, wide = holes.bottom - holes.top, holes.right - holes.left
    assert min(holes.top.min(), holes.left.min()) >= 0
    assert max(holes.bottom.max(), holes.right.max()) <= 50
    share = tall * wide / 2500
    assert 0.015 < share.min() < 0.025
    assert 0.27 < share.max() < 0.32
    assert (tall / wide).log().abs().max() < math.log(3.3) + 0.15  # whole pixels
    images = torch.full((50, 20, 20, 3), 7, dtype=torch.uint8)
    result = augment(images, Augment(shift=0, erase=1))
    assert len(result.unique()) > 200
    changed = (result != 7).any(-1).float().mean()
    assert 0.02 < changed < 0.2


def test_noise_has_its_deviation() -> None:
    torch.manual_seed(0)
    deviations = draw_noise(Augment(noise=0.5, noise_std=0.1), 2000, CPU)
    assert deviations is not None
    assert 0.45 < (deviations > 0).float().mean() < 0.55
    assert 25 < deviations.max() <= 25.5
    images = torch.full((200, 16, 16, 3), 128, dtype=torch.uint8)
    result = augment(images, Augment(shift=0, noise=1, noise_std=0.1)).float()
    found = result.flatten(1).std(1)
    assert 20 < found.max() < 28
    assert abs(result.mean() - 128) < 0.5
