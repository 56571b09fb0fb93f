"""What holds for every architecture, thin where its width does not matter."""

import io
from dataclasses import dataclass, field
from typing import Any

import pytest
import timm
import torch
from timm.models import group_parameters
from torch import Tensor, nn

from foldwise.config import Model
from foldwise.models.build import build_model

SIDES = (28, 32, 64, 96)
OFF: dict[str, Any] = {"drop_rate": 0.0}


@dataclass(frozen=True)
class Case:
    """A model to test; ``small``: arguments that leave its kind and make it quick."""

    name: str
    small: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def build(self, size: int = 32, classes: int = 5, **others: Any) -> nn.Module:
        torch.manual_seed(0)
        args = self.small | OFF | others.pop("args", {})
        return build_model(
            Model(self.name, args=args, **self.settings | others), classes, size
        ).network


# timm's start residual branches at zero, which would stop their gradients.
SHORT = {"layers": [1, 1, 1, 1], "channels": [16, 24, 32, 48], "zero_init_last": False}
CASES = [
    Case("densenet7x7", {"width": 0.12}),
    Case("small_resnet7x7", {"width": 0.25}),
    Case("dual_branch", {"width": 0.25}),
    Case("inception_fsd", {"width": 0.5}),
    Case("dilated_group", {"width": 0.5}),
    Case("convnet2", {"widths": [16, 24]}),
    Case("convnet5", {"width": 0.25}),
    Case("resnet50", SHORT, {"stem": "small"}),
    Case("resnet101", SHORT | {"layers": [1, 1, 2, 1]}, {"stem": "small"}),
    Case("resnext50_32x4d", SHORT, {"stem": "small"}),
    Case("se_resnet_small", {"width": 0.5}),
    Case("se_resnet_small_sd", {"width": 0.5, "drop_path_rate": 0.0}),
    Case("resnet18", SHORT, {"head": "mlp"}),
    Case("monkeynet"),
    Case("monkeynet", {"attention": True}),
    Case("classification_cnn"),
    Case("classification_cnn", {"attention": True}),
    Case("mobilenet"),
]
every_model = pytest.mark.parametrize("case", CASES, ids=lambda c: "-".join([c.name, *c.small]))


def pixels(side: int, count: int = 2, channels: int = 3) -> Tensor:
    return torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(side))


@every_model
def test_forward_and_backward_at_each_size_reach_every_parameter(case: Case) -> None:
    network = case.build()
    for side in SIDES:
        network.zero_grad()
        logits = network(pixels(side, 3))
        assert logits.shape == (3, 5)
        nn.functional.cross_entropy(logits, torch.arange(3)).backward()
        idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert not idle


@every_model
def test_one_image_in_eval_and_the_smallest_competition(case: Case) -> None:
    for side in (8, 33):
        network = case.build(size=side).eval()
        images = pixels(side, 3)
        together = network(images)
        assert together.isfinite().all()
        torch.testing.assert_close(network(images[:1]), together[:1], rtol=1e-4, atol=1e-5)


@every_model
def test_channels_last_gives_what_contiguous_gives(case: Case) -> None:
    network, images = case.build().eval(), pixels(32)
    wanted = network(images)
    network.to(memory_format=torch.channels_last)
    got = network(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


@every_model
def test_a_saved_and_reloaded_model_gives_identical_logits(case: Case) -> None:
    network, images = case.build(), pixels(32, 8)
    network(images)  # moves the norms' statistics, which must be saved too
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    again = case.build()
    nn.init.normal_(next(again.parameters()))
    again.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(network.eval()(images), again.eval()(images))


@every_model
def test_the_classifier_can_be_replaced_and_removed(case: Case) -> None:
    network, images = case.build().eval(), pixels(32)
    before = network.forward_head(network.forward_features(images), pre_logits=True)
    network.reset_classifier(3)
    assert network.num_classes == 3
    assert network(images).shape == (2, 3)
    assert network.get_classifier().weight.shape[0] == 3
    network.reset_classifier(0)
    assert before.shape == (2, network.head_hidden_size)
    torch.testing.assert_close(network(images).flatten(1), before)


@every_model
def test_the_parts_are_the_whole(case: Case) -> None:
    network, images = case.build().eval(), pixels(32)
    features = network.forward_features(images)
    assert features.ndim == 4
    assert features.shape[1] == network.num_features
    torch.testing.assert_close(network.forward_head(features), network(images))


@every_model
def test_parameters_group_by_depth_from_the_stem_to_the_head(case: Case) -> None:
    network = case.build()
    groups = group_parameters(network, network.group_matcher(), reverse=True)
    names = [name for name, _ in network.named_parameters()]
    assert set(groups) == set(names)
    first = network.pretrained_cfg["first_conv"]
    for name in (first,) if isinstance(first, str) else first:
        assert groups[f"{name}.weight"] == 0
    head = [n for n, p in network.named_parameters() if n.startswith(("head", "fc", "classifier"))]
    assert {groups[name] for name in head} == {max(groups.values())}
    assert len(set(groups.values())) > 2 or case.name == "monkeynet"


@every_model
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_any_number_of_channels(case: Case, channels: int) -> None:
    built = build_model(
        Model(case.name, args=case.small, in_chans=channels, **case.settings), 5, 32
    )
    assert built.network.eval()(pixels(32, 1, channels)).shape == (1, 5)
    assert len(built.mean) == len(built.std) == channels


@every_model
def test_dropout_is_a_setting(case: Case) -> None:
    network = case.build(args={"drop_rate": 0.37})
    assert network.drop_rate == 0.37


def test_timm_itself_builds_them() -> None:
    for case in CASES:
        network = timm.create_model(case.name, num_classes=7, in_chans=1, drop_rate=0.2)
        assert network.drop_rate == 0.2
        assert network.pretrained_cfg["architecture"]
        assert network.get_classifier().weight.shape[0] == 7


def exported(case: Case) -> None:
    network, images = case.build().eval(), pixels(32)
    program = torch.export.export(network, (images,))
    torch.testing.assert_close(program.module()(images), network(images), rtol=1e-4, atol=1e-5)


def compiled(case: Case) -> None:
    torch.compiler.reset()
    network, images = case.build().eval(), pixels(32)
    with torch.no_grad():
        fast = torch.compile(network)(images)
        torch.testing.assert_close(fast, network(images), rtol=1e-3, atol=1e-4)


QUICK = [case for case in CASES if (case.name, "attention" in case.small) == ("monkeynet", True)]
QUICK += [case for case in CASES if case.name == "dual_branch"]


@pytest.mark.parametrize("case", QUICK, ids=lambda c: c.name)
def test_export_and_compile(case: Case) -> None:
    exported(case)
    compiled(case)


@pytest.mark.slow
@every_model
def test_export_of_each(case: Case) -> None:
    exported(case)


@pytest.mark.slow
@every_model
def test_compile_of_each(case: Case) -> None:
    compiled(case)


@pytest.mark.slow  # minutes: 29 billion multiply-adds an image at 96 pixels
@pytest.mark.parametrize("name", ["densenet7x7", "resnet50", "resnet101", "resnext50_32x4d"])
def test_the_large_ones_in_full(name: str) -> None:
    case = Case(name, {"zero_init_last": False} if "res" in name else {})
    test_forward_and_backward_at_each_size_reach_every_parameter(case)
