"""One matrix and one sampling are what the operations do in turn."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2 import functional as vision

from foldwise.config import Augment
from foldwise.images.geometry import draw_matrix, warp

CPU, PLAIN = torch.device("cpu"), Augment()
SIDE = 64


def smooth(count: int = 1, height: int = SIDE, width: int = SIDE) -> Tensor:
    """float32 (count, 3, height, width), 0..255, that bilinear sampling has little to lose on."""
    coarse = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(0)) * 255
    return functional.interpolate(coarse, size=(height, width), mode="bicubic").clamp(0, 255)


def matrix_of(count: int = 1, **settings: object) -> Tensor:
    drawn = draw_matrix(Augment(**{"shift": 0, **settings}), count, SIDE, SIDE, CPU)  # type: ignore
    assert drawn is not None
    return drawn


def inner(pixels: Tensor, share: float = 0.5) -> Tensor:
    """The middle, where no border has been in play."""
    cut = int(SIDE * (1 - share) / 2)
    return pixels[..., cut:-cut, cut:-cut]


def test_the_identity_changes_nothing() -> None:
    images = smooth(2)
    same = warp(images, torch.eye(3).expand(2, 3, 3), PLAIN)
    torch.testing.assert_close(same, images, rtol=0, atol=0.01)


def test_flips_in_a_matrix_are_flips() -> None:
    images = smooth(2)
    for settings, axis in (({"hflip": 1.0}, 3), ({"vflip": 1.0}, 2)):
        matrix = matrix_of(2, scale=1e-9, **settings)
        torch.testing.assert_close(warp(images, matrix, PLAIN), images.flip(axis), rtol=0, atol=0.1)


def test_quarter_turns_in_a_matrix_are_quarter_turns() -> None:
    images = smooth(40)
    turned = warp(images, matrix_of(40, scale=1e-9, rotate90=1.0), PLAIN)
    found = set()
    for image, result in zip(images, turned, strict=True):
        errors = [(torch.rot90(image, k, (1, 2)) - result).abs().max() for k in range(4)]
        assert min(errors) < 0.5
        found.add(min(range(4), key=errors.__getitem__))
    assert found == {1, 2, 3}


@pytest.mark.parametrize(("height", "width"), [(64, 64), (48, 80)])
def test_a_rotation_is_torchvisions_rotation(height: int, width: int) -> None:
    torch.manual_seed(0)
    images = smooth(8, height, width)
    matrix = draw_matrix(Augment(shift=0, rotate=30), 8, height, width, CPU)
    assert matrix is not None
    angles = torch.rad2deg(torch.atan2(matrix[:, 1, 0] * height / width, matrix[:, 0, 0]))
    assert 10 < angles.abs().max() <= 30
    ours = warp(images, matrix, PLAIN)
    for image, result, angle in zip(images, ours, angles.tolist(), strict=True):
        bilinear = vision.InterpolationMode.BILINEAR
        theirs = vision.rotate(image, -angle, interpolation=bilinear)
        theirs_too = vision.rotate(image, angle, interpolation=bilinear)
        errors = [(inner(t) - inner(result)).abs().max() for t in (theirs, theirs_too)]
        assert min(errors) < 1


def test_one_matrix_is_the_operations_in_turn() -> None:
    """Flip, turn, zoom, rotate, shift, perspective and crop: seven samplings, or one."""
    torch.manual_seed(0)
    images, count = smooth(6), 6
    steps = [
        matrix_of(count, scale=1e-9, hflip=0.5, vflip=0.5),
        matrix_of(count, scale=1e-9, rotate90=1.0),
        matrix_of(count, scale=0.2),
        matrix_of(count, shear=8.0),
        matrix_of(count, rotate=25.0),
        matrix_of(count, shift=0.05, scale=1e-9),
        matrix_of(count, perspective=0.1, perspective_prob=1.0),
        matrix_of(count, crop=0.7),
    ]
    whole, tilted = torch.eye(3).expand(count, 3, 3), Augment(perspective=0.1)
    in_turn = images
    for matrix in steps:
        whole = whole @ matrix
        in_turn = warp(in_turn, matrix, tilted)
    once = warp(images, whole, tilted)
    # Between pixels, bilinear sampling is wrong by at most an eighth of the second difference
    # along each axis, and the samplings that are done in turn add that up.
    curved = [images.diff(n=2, dim=axis).abs().max() for axis in (2, 3)]
    error = (inner(once) - inner(in_turn)).abs()
    assert error.max() < len(steps) * sum(curved) / 8
    assert error.mean() < 1
    assert (once - images).abs().mean() > 20


def test_zooms_are_as_far_as_asked_and_those_asked_for() -> None:
    torch.manual_seed(0)
    zooms = 1 / matrix_of(2000, scale=0.2)[:, 0, 0]
    assert 0.8 <= zooms.min() < 0.81
    assert 1.19 < zooms.max() <= 1.2001
    three = (1 / matrix_of(300, scales=[0.8, 1.0, 1.2])[:, 0, 0]).unique()
    assert [round(z, 4) for z in three.tolist()] == [0.8, 1.0, 1.2]


def test_shifts_are_as_far_as_asked() -> None:
    torch.manual_seed(0)
    far = matrix_of(2000, shift=0.1, scale=1e-9)[:, :2, 2] * SIDE / 2  # in pixels
    assert 6.2 < far.abs().max() <= 6.4 + 1e-4


def test_a_crop_lies_inside_and_has_the_area() -> None:
    torch.manual_seed(0)
    crop = matrix_of(3000, crop=0.25, crop_ratio=1.33)
    wide, tall = crop[:, 0, 0], crop[:, 1, 1]
    assert (crop[:, :2, 2].abs() + torch.stack([wide, tall], 1) <= 1 + 1e-5).all()
    assert 0.25 - 1e-4 <= (wide * tall).min() < 0.27
    assert (wide * tall).max() <= 1
    uncut = (wide < 1) & (tall < 1)
    ratio = (wide / tall)[uncut].log().abs()
    assert math.log(1.3) < ratio.max() <= math.log(1.3301)


def test_perspective_keeps_straight_lines_and_a_positive_depth() -> None:
    torch.manual_seed(0)
    matrix = matrix_of(2000, perspective=0.4, perspective_prob=0.5)
    corners = torch.tensor([[x, y, 1.0] for x in (-1, 1) for y in (-1, 1)])
    depth = (corners @ matrix.transpose(1, 2))[..., 2]
    assert depth.min() > 0.15
    still = (depth == 1).all(1).float().mean()
    assert 0.45 < still < 0.55


def test_what_is_not_chosen_stays() -> None:
    torch.manual_seed(0)
    matrix = matrix_of(2000, shift=0.1, rotate=20.0, scale=0.2, shear=5.0, affine_prob=0.3)
    still = torch.isclose(matrix, torch.eye(3), atol=1e-6).flatten(1).all(1).float().mean()
    assert 0.65 < still < 0.75


@pytest.mark.parametrize(("border", "corner"), [("edge", 200.0), ("reflect", 200.0), ("black", 0)])
def test_what_lies_outside(border: str, corner: float) -> None:
    images = torch.full((1, 3, SIDE, SIDE), 200.0)
    small = warp(images, torch.eye(3)[None] * torch.tensor([2.0, 2, 1]), Augment(border=border))
    assert small[0, 0, 0, 0] == corner
    assert small[0, 0, SIDE // 2, SIDE // 2] == 200
