import numpy as np
import pytest
import torch

from foldwise.config import Augment
from foldwise.images.augment import Normalize, augment

IMAGES = torch.randint(0, 256, (64, 10, 12, 3), dtype=torch.uint8)


def test_nothing_asked_for_is_nothing_done() -> None:
    assert augment(IMAGES, Augment(shift=0)) is IMAGES


def test_certain_flips_are_flips_and_undo_themselves() -> None:
    flipped = augment(IMAGES, Augment(hflip=1, shift=0))
    assert torch.equal(flipped, IMAGES.flip(2))
    both = augment(IMAGES, Augment(hflip=1, vflip=1, shift=0))
    assert torch.equal(both, IMAGES.flip(1, 2))
    assert torch.equal(augment(flipped, Augment(hflip=1, shift=0)), IMAGES)


def test_half_the_images_flip() -> None:
    many = IMAGES[:1].expand(4000, -1, -1, -1)
    flipped = augment(many, Augment(hflip=0.5, shift=0))
    share = (flipped == many).flatten(1).all(1).float().mean()
    assert 0.45 < share < 0.55


def test_every_shifted_crop_is_a_window_of_the_padded_image() -> None:
    torch.manual_seed(0)
    shifted = augment(IMAGES, Augment(shift=0.2)).numpy()
    seen = set()
    for image, result in zip(IMAGES.numpy(), shifted, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode="edge")
        found = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(padded[y : y + 10, x : x + 12], result)
        ]
        assert found
        seen.add(found[0])
    assert len(seen) > 15  # of the 25 places


def test_a_shift_of_less_than_a_pixel_moves_nothing() -> None:
    assert augment(IMAGES, Augment(shift=0.08)) is IMAGES


def test_the_seed_decides() -> None:
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augment(IMAGES, Augment(hflip=0.5, shift=0.2)))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("channels_last", [True, False])
def test_normalize_scales_and_orders_the_channels(channels_last: bool) -> None:
    mean, std = [0.1, 0.5, 0.9], [0.2, 0.3, 0.4]
    pixels = Normalize(mean, std, torch.device("cpu"), channels_last)(IMAGES)
    wanted = (IMAGES.double() / 255 - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(pixels.double(), wanted.permute(0, 3, 1, 2), rtol=0, atol=1e-5)
    kind = torch.channels_last if channels_last else torch.contiguous_format
    assert pixels.is_contiguous(memory_format=kind)
