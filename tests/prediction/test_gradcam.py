"""Grad-CAM against its formula, and on networks of every kind."""

import numpy as np
import pytest
import timm
import torch
from torch import nn

import foldwise.models  # noqa: F401  (registers ours)
from foldwise.prediction.gradcam import deepest_maps, grad_cam


class Tiny(nn.Module):
    """Features, ReLU in place, mean over the places, linear: all that the formula needs."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 5, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.act(self.body(x)).mean(dim=(2, 3)))


def test_it_is_the_published_formula() -> None:
    torch.manual_seed(0)
    network, pixels = Tiny(), torch.randn(6, 3, 8, 8)
    chosen = torch.tensor([0, 1, 2, 3, 0, 1])
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    maps = grad_cam(network, pixels, chosen)
    features = network.act(network.body(pixels))
    # Behind a mean and a linear layer the gradient of every place is the class's weight / places.
    weights = network.head.weight[chosen] / 64
    wanted = torch.einsum("nchw,nc->nhw", features, weights).clamp(min=0)
    wanted = wanted / wanted.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
    np.testing.assert_allclose(maps, wanted.numpy(), atol=1e-5)
    assert network.training and all(p.grad is None for p in network.parameters())
    assert not network.act._forward_hooks


def test_it_shines_where_the_object_is() -> None:
    torch.manual_seed(0)
    network = Tiny()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    with torch.no_grad():
        network.body.weight[0, 0, 1, 1] = 1.0  # feature 0 is the red channel
        network.head.weight[2, 0] = 1.0  # which class 2 is about
    pixels = torch.zeros(1, 3, 8, 8)
    pixels[0, 0, 1:3, 5:7] = 1.0
    shown = grad_cam(network, pixels, torch.tensor([2]))[0]
    wanted = pixels[0, 0].numpy()
    np.testing.assert_array_equal(shown, wanted)
    assert (grad_cam(network, pixels, torch.tensor([1])) == 0).all()  # nothing speaks for it


@pytest.mark.parametrize(
    ("name", "size", "places"),
    [
        ("convnet2", 8, 4),
        ("se_resnet_small", 32, 4),
        ("resnet18", 32, 4),
        ("resnet18", 224, 7),
        ("mobilenetv3_small_050", 64, 4),
        ("convnext_atto", 64, 4),
        ("vit_tiny_patch16_224", 224, 14),
        ("swin_tiny_patch4_window7_224", 224, 7),
    ],
)
def test_any_network(name: str, size: int, places: int) -> None:
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=3).eval()
    maps = grad_cam(network, torch.randn(2, 3, size, size), torch.tensor([0, 2]))
    assert maps.shape == (2, places, places)
    assert maps.dtype == np.float32 and maps.min() >= 0
    assert maps.max() == pytest.approx(1)  # something speaks for it


def test_a_network_without_maps_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    with pytest.raises(ValueError, match="no layer"):
        deepest_maps(network, torch.randn(1, 3, 2, 2))
