"""Stems, poolings and heads that any backbone can be given."""

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional

from foldwise.config import Model
from foldwise.errors import UsageError
from foldwise.models.build import build_model
from foldwise.models.surgery import resize_kernel, small_stem


def test_a_resized_kernel_answers_as_the_old_one_to_the_enlarged_patch() -> None:
    torch.manual_seed(0)
    kernels, patches = torch.randn(5, 3, 7, 7), torch.rand(4, 3, 3, 3)
    small = resize_kernel(kernels, 3)
    assert small.shape == (5, 3, 3, 3)
    enlarged = functional.interpolate(patches, (7, 7), mode="bilinear")
    torch.testing.assert_close(
        functional.conv2d(patches, small), functional.conv2d(enlarged, kernels)
    )
    torch.testing.assert_close(small.sum((2, 3)), kernels.sum((2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(resize_kernel(small, 3), small)


@pytest.mark.parametrize("name", ["resnet50", "resnet101", "resnext50_32x4d", "resnet18d"])
def test_a_small_stem_halves_nothing_and_keeps_the_other_weights(name: str) -> None:
    torch.manual_seed(0)
    args = {"layers": [1, 1, 1, 1], "num_classes": 5}
    network = timm.create_model(name, **args).eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert network.forward_features(torch.rand(1, 3, 32, 32)).shape[-1] == 1
    small_stem(network, keep_weights=True)
    assert network.forward_features(torch.rand(1, 3, 32, 32)).shape[-1] == 4
    after, first = network.state_dict(), network.pretrained_cfg["first_conv"] + ".weight"
    assert list(after) == list(before)
    torch.testing.assert_close(after.pop(first), resize_kernel(before.pop(first), 3))
    for key, value in after.items():
        assert torch.equal(value, before[key])


def test_a_small_stem_from_scratch_is_drawn_for_its_size() -> None:
    torch.manual_seed(0)
    network = build_model(Model(name="resnet50", stem="small"), 5, 32).network
    wanted = (2 / (64 * 9)) ** 0.5  # as timm draws it: He et al., by the outputs
    assert network.conv1.weight.std().item() == pytest.approx(wanted, rel=0.1)


def test_pretrained_weights_pass_through_the_small_stem(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    source = timm.create_model("resnet18")
    overlay = {"state_dict": {k: v.clone() for k, v in source.state_dict().items()}}
    create = timm.create_model

    def with_weights(name: str, pretrained: bool, **options: object) -> nn.Module:
        assert pretrained
        return create(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)

    monkeypatch.setattr(timm, "create_model", with_weights)
    settings = Model(name="resnet18", stem="small", pretrained=True, head="mlp")
    network = build_model(settings, 5, 32).network
    assert torch.equal(network.layer4[1].conv2.weight, source.layer4[1].conv2.weight)
    torch.testing.assert_close(network.conv1.weight, resize_kernel(source.conv1.weight, 3))


def test_the_two_layer_head() -> None:
    network = build_model(Model(name="resnet18", head="mlp", drop_rate=0.3), 7, 32).network
    assert network.drop_rate == 0.3  # the first dropout is the network's own
    kinds = [type(layer) for layer in network.fc]
    assert kinds == [nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Dropout, nn.Linear]
    assert (network.fc[0].in_features, network.fc[0].out_features) == (512, 256)
    assert (network.fc[3].p, network.fc[4].out_features) == (0.15, 7)


BACKBONES = ["resnet18", "mobilenet", "vit_tiny_patch16_224", "convnext_atto", "densenet7x7"]


@pytest.mark.parametrize("name", [*BACKBONES, "inception_fsd", "convnet2", "resnetv2_18"])
def test_every_backbone_takes_the_head(name: str) -> None:
    args = {"width": 0.12} if name in ("densenet7x7", "inception_fsd") else {}
    settings = Model(name=name, head="mlp", head_init="xavier", in_chans=1, args=args)
    network = build_model(settings, 4, 32).network
    logits = network(torch.rand(2, 1, 32, 32))
    assert logits.shape == (2, 4)
    logits.sum().backward()
    head = network.get_classifier()
    assert sum(isinstance(m, nn.Linear) for m in head.modules()) == 2
    assert all(p.grad is not None for p in head.parameters())


def test_a_model_with_two_last_layers_takes_no_other_head() -> None:
    name = "deit_tiny_distilled_patch16_224"
    with pytest.raises(UsageError, match="no single last layer"):
        build_model(Model(name=name, head="mlp"), 4, 32)


def test_xavier_draws_the_last_layers() -> None:
    torch.manual_seed(0)
    head = build_model(Model(name="resnet18", head="mlp", head_init="xavier"), 7, 32).network.fc
    for layer in (head[0], head[4]):
        bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
        assert 0.9 * bound < layer.weight.abs().max().item() <= bound
        assert not layer.bias.any()


SWIN = "swin_tiny_patch4_window7_224"  # channels last; timm 1.0.26 has only the average for it
POOLS = ["avg", "max", "avgmax", "catavgmax", "gem"]


@pytest.mark.parametrize(
    ("name", "pool"),
    [*((name, pool) for name in ("resnet18", "se_resnet_small") for pool in POOLS), (SWIN, "gem")],
)
def test_pooling_is_a_setting(name: str, pool: str) -> None:
    torch.manual_seed(0)
    network = build_model(Model(name=name, pool=pool), 4, 64).network.eval()
    features = network.forward_features(torch.rand(2, 3, 64, 64))
    places = features.flatten(1, 2) if "swin" in name else features.flatten(2).transpose(1, 2)
    mean, highest = places.mean(1), places.amax(1)
    wanted = {
        "avg": mean,
        "max": highest,
        "avgmax": (mean + highest) / 2,
        "catavgmax": torch.cat([mean, highest], dim=1),
        "gem": places.clamp(min=1e-6).pow(3).mean(1).pow(1 / 3),
    }[pool]
    torch.testing.assert_close(network.forward_head(features, pre_logits=True), wanted)
    assert sum(n.endswith("pool.p") for n, _ in network.named_parameters()) == (pool == "gem")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (Model(name="convnet2", stem="small"), "first convolution halves the image"),
        (Model(name="vit_tiny_patch16_224", pool="gem"), "pools no map"),
        (Model(name="inception_fsd", pool="catavgmax"), "pools by avg, max or avgmax"),
        (Model(name="convnet2", drop_block_rate=0.1), "drop_block_rate"),
        (Model(name="resnet18", max_params=5e6), r"5,000,000: resnet18 has 11,\d+,\d+ parameters"),
        (Model(name="convnet2", pretrained=True), r"no weights for convnet2; model\.name= takes"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_a_usage_error(settings: Model, line: str) -> None:
    with pytest.raises(UsageError, match=line) as error:
        build_model(settings, 4, 32)
    assert "\n" not in str(error.value)


def test_max_params_lets_smaller_models_through() -> None:
    assert build_model(Model(name="se_resnet_small", max_params=5e6), 10, 32).network
