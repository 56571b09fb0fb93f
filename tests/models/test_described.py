"""Each architecture has what its description says: kernels, stages, counts."""

import pytest
import timm
import torch
from timm.layers import DropBlock2d, DropPath, SEModule
from torch import nn

from foldwise.config import Model
from foldwise.models.blocks import SpaceToDepthConv, SpatialAttention
from foldwise.models.build import build_model
from foldwise.models.listing import size_of

# Million parameters with 10 classes, million multiply-adds at 32 pixels, last map of such an image.
FACTS = {
    "densenet7x7": (3.186, 3_250.6, (258, 32, 32)),
    "small_resnet7x7": (6.476, 340.4, (256, 4, 4)),
    "dual_branch": (2.211, 308.6, (256, 8, 8)),
    "inception_fsd": (1.767, 48.7, (192, 4, 4)),
    "dilated_group": (0.684, 105.7, (256, 8, 8)),
    "convnet5": (10.462, 229.3, (512, 2, 2)),
    "se_resnet_small": (2.822, 139.3, (256, 4, 4)),
    "se_resnet_small_sd": (2.822, 139.3, (256, 4, 4)),
    "monkeynet": (0.009, 1.0, (32, 34, 34)),
    "classification_cnn": (0.119, 15.6, (64, 16, 16)),
}


@pytest.mark.parametrize("name", FACTS)
def test_size_and_last_map(name: str) -> None:
    found = size_of(Model(name=name), side=32, classes=10)
    with torch.device("meta"):
        network = timm.create_model(name, num_classes=10)
        features = network.forward_features(torch.empty(1, 3, 32, 32))
    parameters, multiply_adds, shape = FACTS[name]
    assert round(found.parameters / 1e6, 3) == parameters
    assert round((found.multiply_adds or 0) / 1e6, 1) == multiply_adds
    assert tuple(features.shape[1:]) == shape


def test_densenet7x7_costs_what_its_description_multiplies_out_to() -> None:
    channels, weights = 32, 3 * 32 * 49  # the stem
    for number, layers in enumerate((3, 6, 12, 8)):
        if number:
            weights += channels * (channels // 2)
            channels //= 2
        for _ in range(layers):
            weights += channels * 16 * 49
            channels += 16
    found = size_of(Model(name="densenet7x7"), side=32, classes=10)
    assert found.multiply_adds == weights * 32 * 32 + channels * 10


def test_monkeynet_has_the_parameters_that_its_layers_add_up_to() -> None:
    grid = (32 + 2) // 8
    wanted = (3 * 9 + 1) * 32 + (32 * grid**2 + 1) * 16 + (16 + 1) * 10
    assert size_of(Model(name="monkeynet"), 32).parameters == wanted
    attended = size_of(Model(name="monkeynet", args={"attention": True}), 32)
    assert attended.parameters == wanted + 2 * 49


def convs(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d)]


def test_densenet7x7_is_dense_at_full_resolution() -> None:
    network = timm.create_model("densenet7x7", num_classes=10)
    layers = [len(stage.layers) for stage in network.stages if hasattr(stage, "layers")]
    assert layers == [3, 6, 12, 8]
    for stage in network.stages:
        for layer in getattr(stage, "layers", ()):
            assert [type(m) for m in layer] == [nn.BatchNorm2d, nn.ReLU, nn.Conv2d]
            assert layer[2].kernel_size == (7, 7) and layer[2].out_channels == 16
    transitions = [stage[2] for stage in network.stages if isinstance(stage, nn.Sequential)]
    assert [(c.kernel_size, c.in_channels // c.out_channels) for c in transitions] == [
        ((1, 1), 2)
    ] * 3
    assert all(conv.stride == (1, 1) for conv in convs(network))
    assert not any(m.inplace for m in network.modules() if isinstance(m, nn.ReLU))
    block, images = network.stages[0].eval(), torch.rand(1, 32, 9, 9)
    assert torch.equal(block(images)[:, :32], images)  # what came in is still there


def test_width_thins_densenet7x7() -> None:
    half = size_of(Model(name="densenet7x7", args={"width": 0.5}), 32)
    assert half.multiply_adds == pytest.approx(3_250.6e6 / 4, rel=0.01)


def test_small_resnet7x7_has_7x7_blocks_of_doubling_width() -> None:
    network = timm.create_model("small_resnet7x7", num_classes=10)
    assert [stage[-1].conv2.conv.out_channels for stage in network.stages] == [32, 64, 128, 256]
    assert {c.kernel_size for c in convs(network)} == {(7, 7), (1, 1)}  # 1x1: shortcuts


def test_dual_branch_reduces_one_side_by_strides_and_the_other_without_loss() -> None:
    network = timm.create_model("dual_branch", num_classes=10).eval()
    assert {c.stride for c in convs(network.details)} == {(1, 1)}
    assert sum(isinstance(m, SpaceToDepthConv) for m in network.details) == 2
    assert max(c.kernel_size for c in convs(network.whole)) == (7, 7)
    images = torch.rand(1, 3, 32, 32)
    whole = network.to_whole(network.whole(images))
    details = network.to_details(network.details(images))
    assert whole.shape == details.shape == (1, 128, 8, 8)  # the common subspace


def test_inception_fsd_fuses_three_scales() -> None:
    network = timm.create_model("inception_fsd", num_classes=10).eval()
    assert network.drop_rate == network.head.drop.p == 0.4
    module = network.stages[0][1]
    five = [c.kernel_size for c in convs(module.five)]
    assert five == [(1, 1), (3, 3), (3, 3)]
    for side in (8, 32, 50):
        features = network.forward_features(torch.rand(1, 3, side, side))
        near, middle, whole = features.split(64, dim=1)
        assert near.shape == (1, 64, 4, 4)
        assert torch.equal(middle[..., 0:2, 0:2], middle[..., :1, :1].expand(1, 64, 2, 2))
        assert torch.equal(whole, whole[..., :1, :1].expand_as(whole))
        assert not torch.equal(near[..., 0, 0], near[..., 0, 1])


def test_dilated_group_dilates_and_strides_but_never_pools() -> None:
    network = timm.create_model("dilated_group", num_classes=10).eval()
    sides, x = [], network.stem(torch.rand(1, 3, 32, 32))
    for stage in network.stages:
        middle = [block.branch[1].conv for block in stage]
        assert [c.dilation for c in middle] == [(1, 1), (2, 2), (4, 4)]
        assert all(c.kernel_size == (7, 7) and c.groups == 8 for c in middle)
        x = stage(x)
        sides.append(x.shape[-1])
    assert sides == [32, 16, 8]
    assert not any("Pool" in type(module).__name__ for module in network.stages.modules())
    more = timm.create_model("dilated_group", cardinality=16)
    assert more.stages[0][0].branch[1].conv.groups == 16


def test_convnet5_has_five_double_blocks_and_two_linear_layers() -> None:
    network = timm.create_model("convnet5", num_classes=100)
    assert [len(convs(block)) for block in network.blocks] == [2] * 5
    assert sum(isinstance(m, nn.LeakyReLU) for m in network.blocks.modules()) == 10
    assert [m.out_features for m in network.modules() if isinstance(m, nn.Linear)] == [512, 100]
    assert network.head.drop.p == 0.5


def test_se_resnet_small_is_small_and_squeezes_in_each_block() -> None:
    network = timm.create_model("se_resnet_small", num_classes=10)
    assert network.stem.conv.kernel_size == (3, 3) and network.stem.conv.out_channels == 32
    assert [len(stage) for stage in network.stages] == [2] * 4
    assert all(isinstance(block.se, SEModule) for stage in network.stages for block in stage)
    assert network.head.drop.p == 0.3
    assert not any(isinstance(m, DropPath) for m in network.modules())


def test_stochastic_depth_rises_to_the_last_block_and_weighs_nothing() -> None:
    network = timm.create_model("se_resnet_small_sd", num_classes=10)
    rates = [m.drop_prob for m in network.modules() if isinstance(m, DropPath)]
    assert rates == pytest.approx([0.2 * n / 7 for n in range(1, 8)])
    assert sum(p.numel() for p in network.parameters()) < 3e6


@pytest.mark.parametrize("name", ["se_resnet_small", "resnet50"])
def test_drop_block_is_in_the_last_two_stages(name: str) -> None:
    network = build_model(Model(name=name, drop_block_rate=0.2), 2, 32).network
    places = [n for n, m in network.named_modules() if isinstance(m, DropBlock2d)]
    stages = {".".join(place.split(".")[: 2 if name.startswith("se") else 1]) for place in places}
    assert stages == ({"stages.2", "stages.3"} if name.startswith("se") else {"layer3", "layer4"})


def test_one_monkeynet_takes_every_size() -> None:
    for name in ("monkeynet", "classification_cnn"):
        network = timm.create_model(name, num_classes=10)
        for side in (28, 32, 64, 96, 500):
            logits = network(torch.rand(2, 3, side, side))
            logits.sum().backward()
            assert logits.shape == (2, 10)
        assert network.drop_rate == network.head.drop.p == 0.5
        assert any(isinstance(m, nn.Dropout2d) and m.p == 0.5 for m in network.modules())


def test_monkeynet_at_500_pixels_is_the_one_described() -> None:
    network = build_model(Model(name="monkeynet"), classes=10, size=500).network
    assert network.head.grid == 62
    shapes = {name: tuple(weight.shape) for name, weight in network.named_parameters()}
    assert shapes["convs.0.0.weight"] == (32, 3, 3, 3)
    assert shapes["head.hidden.0.weight"] == (16, 32 * 62 * 62)
    assert shapes["head.fc.weight"] == (10, 16)
    assert size_of(Model(name="monkeynet"), 500).parameters == 1_969_210


@pytest.mark.parametrize("name", ["monkeynet", "classification_cnn"])
def test_attention_stands_behind_the_last_convolution(name: str) -> None:
    network = timm.create_model(name, attention=True)
    found = [n for n, m in network.named_modules() if isinstance(m, SpatialAttention)]
    assert found == [f"convs.{len(network.convs) - 1}.{2 + len(network.convs) - 1}"]
    assert not any(isinstance(m, SpatialAttention) for m in timm.create_model(name).modules())


def test_mobilenet_is_timms_large_mobilenetv3_with_its_weights() -> None:
    ours, theirs = timm.create_model("mobilenet"), timm.create_model("mobilenetv3_large_100")
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    assert timm.get_pretrained_cfg("mobilenet").hf_hub_id == (
        timm.get_pretrained_cfg("mobilenetv3_large_100").hf_hub_id
    )


def test_the_models_own_arguments_reach_them() -> None:
    wide = build_model(
        Model(name="resnext50_32x4d", args={"cardinality": 8, "base_width": 8}), 2, 32
    )
    assert wide.network.layer1[0].conv2.groups == 8
    silu = build_model(Model(name="dual_branch", args={"act_layer": "silu"}), 2, 32).network
    assert any(isinstance(m, nn.SiLU) for m in silu.modules())
    assert not any(isinstance(m, nn.ReLU) for m in silu.modules())
    same = build_model(Model(name="mobilenetv2_100", args={"pad_type": "same"}), 2, 32).network
    assert "Same" in type(same.conv_stem).__name__
