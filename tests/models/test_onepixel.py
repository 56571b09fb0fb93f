import copy
import itertools

import pytest
import timm
import torch
from torch import nn

from foldwise.models.onepixel import OnePixelConv2d, one_pixel_as_linear


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_results_and_gradients_are_those_of_the_convolution(
    stride: int, dilation: int, groups: int
) -> None:
    torch.manual_seed(0)
    short_cuts = 0
    for kernel, padding, side in itertools.product((1, 2, 3, 5, 7), (0, 1, 3), (1, 2, 3, 5, 8)):
        if side + 2 * padding <= dilation * (kernel - 1):
            continue
        conv = nn.Conv2d(4, 8, kernel, stride, padding, dilation, groups).double()
        ours = one_pixel_as_linear(copy.deepcopy(conv))
        assert isinstance(ours, OnePixelConv2d)
        images = torch.rand(2, 4, side, side, dtype=torch.double, requires_grad=True)
        wanted, got = conv(images), ours(images)
        torch.testing.assert_close(got, wanted)
        for one, two in zip(
            torch.autograd.grad(got.square().sum(), [images, *ours.parameters()]),
            torch.autograd.grad(wanted.square().sum(), [images, *conv.parameters()]),
            strict=True,
        ):
            torch.testing.assert_close(one, two)
        short_cuts += wanted.shape[-1] == 1
    assert short_cuts > 3


def test_a_whole_network_stays_what_it_was() -> None:
    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=5).eval()
    names = list(network.state_dict())
    images = torch.rand(2, 3, 32, 32)
    wanted = network(images)
    one_pixel_as_linear(network)
    torch.testing.assert_close(network(images), wanted, rtol=1e-4, atol=1e-5)
    assert list(network.state_dict()) == names


@pytest.mark.parametrize("groups", [1, 8, 64])
def test_bf16_gradients_of_maps_of_one_pixel(groups: int) -> None:
    """oneDNN's are made of unwritten memory where the stride is 2."""
    torch.manual_seed(0)
    exact = nn.Conv2d(64, 64, 3, 2, 1, groups=groups, bias=False)
    ours = one_pixel_as_linear(copy.deepcopy(exact)).to(memory_format=torch.channels_last)
    images = torch.randn(32, 64, 1, 1)
    exact(images).square().sum().backward()
    for _ in range(3):
        ours.zero_grad()
        trash = [torch.full((n,), torch.nan) for n in (100, 10_000, 64 * 64 * 9)]
        del trash
        with torch.autocast("cpu", torch.bfloat16):
            logits = ours(images.contiguous(memory_format=torch.channels_last))
        assert logits.dtype == torch.bfloat16
        logits.float().square().sum().backward()
        torch.testing.assert_close(ours.weight.grad, exact.weight.grad, rtol=0.1, atol=0.5)


def test_other_paddings_are_left_alone() -> None:
    for conv in (
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
    ):
        images = (
            torch.rand(1, 4, 2, 2) if conv.padding_mode == "reflect" else torch.rand(1, 4, 1, 1)
        )
        wanted = conv(images)
        torch.testing.assert_close(one_pixel_as_linear(conv)(images), wanted)
