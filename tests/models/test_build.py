from dataclasses import replace
from typing import Any

import pytest
import timm
import torch

from foldwise.config import Model
from foldwise.errors import FoldwiseError, UsageError
from foldwise.models.build import automatic_model, build_model, check_model


@pytest.mark.parametrize("name", ["convnet2", "resnet18"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_config_becomes_a_network_with_its_normalisation(name: str, channels: int) -> None:
    built = build_model(Model(name=name, in_chans=channels), classes=7, size=32)
    assert built.network(torch.rand(2, channels, 32, 32)).shape == (2, 7)
    assert len(built.mean) == len(built.std) == channels


def rates(settings: Model) -> set[float]:
    modules = build_model(settings, 2, 32).network.modules()
    return {m.p for m in modules if isinstance(m, torch.nn.Dropout | torch.nn.Dropout2d)}


def test_dropout_stochastic_depth_and_own_arguments_reach_the_model() -> None:
    built = build_model(Model(name="resnet18", drop_rate=0.3, drop_path_rate=0.1), 2, 32)
    assert built.network.drop_rate == 0.3
    assert any(type(m).__name__ == "DropPath" for m in built.network.modules())
    own = Model(name="monkeynet", args={"drop_rate": 0.4})
    assert rates(own) == {0.4} and rates(replace(own, drop_rate=0.0)) == {0.0}
    for name in (
        "convnet2",
        "vgg11",
        "densenet121",
        "mobilenetv3_small_050",
        "vit_tiny_patch16_224",
    ):
        none = Model(name=name, drop_rate=0, drop_path_rate=0, drop_block_rate=0)
        assert rates(none) <= {0.0}  # what a model does not have is none, too
    with pytest.raises(UsageError, match="drop_path_rate"):
        build_model(Model(name="convnet2", drop_path_rate=0.1), 2, 8)
    narrow = build_model(Model(name="convnet2", args={"widths": [4, 6]}), 2, 8)
    assert narrow.network.num_features == 6


def test_a_model_of_fixed_input_size_is_built_for_the_images() -> None:
    built = build_model(Model(name="vit_tiny_patch16_224"), 2, 64)
    assert built.network(torch.rand(1, 3, 64, 64)).shape == (1, 2)


def test_unknown_names_and_arguments_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="did you mean 'convnet2'"):
        check_model(Model(name="convnet22"))
    with pytest.raises(UsageError, match="does not build"):
        build_model(Model(name="convnet2", args={"width": 3}), 2, 8)


@pytest.mark.parametrize(
    "args",
    [
        {"act_layer": "nonsense"},
        {"width": "broad"},
        {"width": 0},
        {"layers": [1]},
        {"layers": 3},
        {"channels": [8, 8, 8, -8]},
        {"global_pool": "nonsense"},
        {"drop_rate": 7},
    ],
    ids=str,
)
def test_wrong_values_of_a_models_own_arguments_are_usage_errors(args: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"se_resnet_small does not build: [^ ]"):
        build_model(Model(name="se_resnet_small", args=args), 2, 8)


def test_pretrained_weights_that_cannot_be_had_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(FoldwiseError, match=r"model\.pretrained=false"):
        build_model(Model(name="resnet18", pretrained=True), 2, 32)


def test_small_images_get_the_small_network() -> None:
    assert automatic_model(8) == automatic_model(32) == "convnet2"
    assert automatic_model(224) == "resnet18"
    assert timm.is_model("convnet2")
