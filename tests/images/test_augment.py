import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from foldwise.config import PRESETS, Augment
from foldwise.images import geometry, processor
from foldwise.images.augment import Normalize, augment, changed
from foldwise.images.draw import draw

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


def as_first_published(images: torch.Tensor, settings: Augment) -> torch.Tensor:
    """What the recipes' figures were made with: the same draws, by plain indexing."""
    batch, height, width, _ = images.shape
    places = []
    for side, flip in ((height, settings.vflip), (width, settings.hflip)):
        reach = int(settings.shift * side)
        offset = torch.randint(-reach, reach + 1, (batch, 1))
        positions = (torch.arange(side).expand(batch, -1) + offset).clamp(0, side - 1)
        if flip:
            chosen = torch.rand(batch, 1) < flip
            positions = torch.where(chosen, positions.flip(1), positions)
        places.append(positions)
    which = torch.arange(batch)[:, None, None]
    return images[which, places[0][:, :, None], places[1][:, None, :]]


@pytest.mark.parametrize("settings", [Augment(), Augment(hflip=0.5, vflip=0.3, shift=0.2)])
def test_flips_and_shifts_give_the_bytes_that_they_always_gave(settings: Augment) -> None:
    results = []
    for function in (as_first_published, augment):
        torch.manual_seed(3)
        results.append(function(IMAGES, settings))
    assert torch.equal(*results)


@pytest.mark.parametrize("border", ["edge", "reflect", "black"])
@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize(
    "settings",
    [{"vflip": 0.5}, {"hflip": 0.5, "shift": 0.2}, {"rotate90": 0.7, "downscale": 0.5}],
)
def test_a_processor_moves_pixels_as_tensors_are_moved(
    settings: dict[str, float], channels: int, border: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "ROWS", 300)  # of an image, to OpenCV: 2**15 and more
    images = torch.randint(0, 256, (20, 120, 120, channels), dtype=torch.uint8)
    asked = Augment(**{"shift": 0.0, **settings}, border=border)  # type: ignore[arg-type]
    moves = geometry.draw_moves(asked, 20, 120, 120, images.device)
    wanted = geometry.move(images, moves, border)
    assert torch.equal(processor.moved(images, moves, border), wanted)
    assert not torch.equal(wanted, images)


@pytest.mark.parametrize("perspective", [0.0, 0.2])
@pytest.mark.parametrize("border", ["edge", "reflect", "black"])
def test_a_fourth_channel_changes_no_sample(
    perspective: float, border: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RGB is sampled with a fourth channel where that is faster, and without it elsewhere."""
    images = torch.randint(0, 256, (4, 64, 50, 3), dtype=torch.uint8)
    settings = Augment(rotate=30, scale=0.3, perspective=perspective, border=border)
    results = []
    for smallest in (0, 10**9):
        monkeypatch.setattr(processor, "FOUR_FROM", smallest)
        torch.manual_seed(0)
        results.append(augment(images, settings))
    assert torch.equal(*results)


def test_quarter_turns_are_exact_and_all_occur() -> None:
    torch.manual_seed(0)
    square = IMAGES[:, :, :10]
    turned = augment(square, Augment(shift=0, rotate90=0.75))
    turns = torch.zeros(4)
    for image, result in zip(square, turned, strict=True):
        same = [torch.equal(torch.rot90(image, k, (0, 1)), result) for k in range(4)]
        assert sum(same) == 1
        turns[same.index(True)] += 1
    assert turns.min() >= 8  # of 64 images, a quarter each


def test_a_lower_resolution_is_the_nearest_pixel_there_and_back() -> None:
    torch.manual_seed(0)
    images = IMAGES[:, :, :10]
    coarse = augment(images, Augment(shift=0, downscale=1, downscale_to=0.5)).numpy()
    sides = set()
    for image, result in zip(images.numpy(), coarse, strict=True):
        found = []
        for side in range(5, 11):
            small = ((np.arange(side) + 0.5) * 10 / side).astype(int)
            back = ((np.arange(10) + 0.5) * side / 10).astype(int)
            at = small[back]
            if np.array_equal(image[at][:, at], result):
                found.append(side)
        assert found
        sides.add(found[-1])
    assert sides == {5, 6, 7, 8, 9, 10}


@pytest.mark.parametrize("border", ["reflect", "black"])
def test_what_lies_outside_a_shifted_image(border: str) -> None:
    torch.manual_seed(0)
    shifted = augment(IMAGES, Augment(shift=0.2, border=border)).numpy()
    mode = "symmetric" if border == "reflect" else "constant"
    for image, result in zip(IMAGES.numpy(), shifted, strict=True):
        padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), mode=mode)  # type: ignore[call-overload]
        windows = [padded[y : y + 10, x : x + 12] for y in range(5) for x in range(5)]
        assert any(np.array_equal(window, result) for window in windows)


def test_what_is_not_chosen_stays() -> None:
    torch.manual_seed(0)
    moved = augment(IMAGES, Augment(shift=0.2, affine_prob=0.5))
    still = (moved == IMAGES).flatten(1).all(1).float().mean()
    assert 0.3 < still < 0.75  # half, and a shift by nothing


EVERYTHING = Augment(
    **PRESETS["heavy"],
    **{"vflip": 0.5, "rotate90": 0.5, "scales": [0.8, 1.0, 1.2], "crop": 0.5, "affine_prob": 0.8},
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_nothing_waits_for_the_device(channels: int, dtype: torch.dtype) -> None:
    """A meta tensor has no numbers: whoever asks for one, or for a shape made of them, fails."""
    images = torch.empty(5, 16, 16, channels, dtype=torch.uint8, device="meta")
    result = augment(images, EVERYTHING, dtype)
    assert (result.shape, result.dtype) == (images.shape, dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_processor_and_tensors_do_the_same(channels: int) -> None:
    """Two ways, one result: what OpenCV makes of the draws is what the tensors make of them."""
    images = smooth(24, 32, channels)
    settings = dataclasses.replace(EVERYTHING, noise=0.0, downscale=0.0)
    torch.manual_seed(1)
    drawn = draw(settings, images.shape, images.device)
    field = torch.rand(channels, 32, 32) * 255
    one = changed(images, drawn, settings, field, torch.float32)
    two = processor.changed(images.clone(), drawn, settings, field).float()
    assert (one - images).abs().mean() > 20  # a lot has happened
    difference = (one - two).abs()
    assert difference.mean() < 0.6
    assert difference.quantile(0.99) < 4
    half = changed(images, drawn, settings, field, torch.float16)
    assert (half.float() - one).abs().max() < 1.5


def smooth(count: int, side: int, channels: int) -> torch.Tensor:
    """uint8 images without sharp edges, on which sampling between pixels has little to guess."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, channels, 4, 4, generator=generator) * 180 + 40
    large = functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 255)
    return large.permute(0, 2, 3, 1).round().byte().contiguous()


@pytest.mark.parametrize("size", [20, 80])  # from 64 pixels on, threads share a batch
def test_the_seed_decides_everything(size: int) -> None:
    images = smooth(6, size, 3)
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(augment(images, EVERYTHING))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
    assert torch.equal(images, smooth(6, size, 3))  # and the originals are as they were


@pytest.mark.parametrize("size", [10, 80])
def test_normalisation_gives_the_bytes_that_it_always_gave(size: int) -> None:
    images = torch.randint(0, 256, (20, size, 80, 3), dtype=torch.uint8)
    normalize = Normalize([0.1, 0.5, 0.9], [0.2, 0.3, 0.4], torch.device("cpu"), True)
    plain = images.float().mul_(normalize.scale).add_(normalize.offset).permute(0, 3, 1, 2)
    assert torch.equal(normalize(images), plain)


def test_normalisation_undone_gives_the_image_back() -> None:
    normalize = Normalize([0.1, 0.5, 0.9], [0.2, 0.3, 0.4], torch.device("cpu"), True)
    assert torch.equal(normalize.undone(normalize(IMAGES)), IMAGES)
    assert torch.equal(normalize(IMAGES.float()), normalize(IMAGES))
