"""Every parameter in one group, layers in their order, and what stands still."""

from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import foldwise.models  # noqa: F401  (registers ours)
from foldwise.config import Optimizer
from foldwise.models.surgery import mlp_head
from foldwise.training.groups import freeze, head_names, parameter_groups
from foldwise.training.optimizer import make_optimizer, set_rates

# Thin, but of every part; `parallel`: branches, of which each is in order.
MODELS: dict[str, dict[str, Any]] = {
    "resnet18": {"channels": [8, 8, 16, 16]},
    "vit_tiny_patch16_224": {"embed_dim": 24, "depth": 4, "img_size": 32},
    "convnext_atto": {"dims": [8, 8, 16, 16]},
    "densenet7x7": {"width": 0.12},
    "small_resnet7x7": {"width": 0.25},
    "dual_branch": {"width": 0.25},
    "inception_fsd": {"width": 0.5},
    "dilated_group": {"width": 0.5},
    "convnet2": {"widths": [8, 8]},
    "convnet5": {"width": 0.25},
    "se_resnet_small": {"width": 0.5},
    "monkeynet": {"attention": True},
    "classification_cnn": {"attention": True},
    "mobilenet": {},
}
PARALLEL = {"dual_branch": ("whole.", "details."), "inception_fsd": ("stages.", "scales.")}
every_model = pytest.mark.parametrize("name", MODELS)


def build(name: str, **others: Any) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, num_classes=5, **MODELS[name] | others)


def by_name(network: nn.Module, groups: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each parameter's group. Every parameter that learns must be in exactly one."""
    names = {id(weight): name for name, weight in network.named_parameters()}
    listed = [(names[id(weight)], group) for group in groups for weight in group["params"]]
    found = dict(listed)
    assert len(found) == len(listed)
    assert set(found) == {n for n, w in network.named_parameters() if w.requires_grad}
    return found


def in_order_of_use(network: nn.Module) -> list[str]:
    """The parameters of the modules in the order in which an image meets them."""
    met: list[str] = []
    for prefix, module in network.named_modules():
        own = [f"{prefix}.{name}" for name, _ in module.named_parameters(recurse=False)]
        if own and prefix:
            module.register_forward_pre_hook(lambda *_, own=own: met.extend(own))
    network.eval()(torch.zeros(1, 3, 32, 32))
    return list(dict.fromkeys(met))


@every_model
def test_each_layer_learns_slower_than_the_one_behind_it(name: str) -> None:
    network = build(name)
    found = by_name(network, parameter_groups(network, Optimizer(layer_decay=0.5)))
    depths = {n: group["lr_scale"] for n, group in found.items()}
    met = in_order_of_use(network)
    branches = PARALLEL.get(name, ())
    for branch in (*branches, None):
        part = [
            depths[n]
            for n in met
            if (n.startswith(branch) if branch else not n.startswith(branches))
        ]
        assert part == sorted(part)
        assert len(part) > 1
    assert {depths[n] for n in head_names(network)} == {1.0}
    count = len(set(depths.values()))
    assert count > (1 if name == "monkeynet" else 2)  # it has one convolution and the head
    assert set(depths.values()) == {0.5**n for n in range(count)}
    for weight, group in ((w, found[n]) for n, w in network.named_parameters()):
        assert weight.ndim > 1 or group["weight_decay"] == 0


@every_model
def test_the_heads_rate_and_nothing_else_is_multiplied(name: str) -> None:
    network = build(name)
    head = head_names(network)
    assert head
    for layer_decay in (1.0, 0.5):
        plain = Optimizer(layer_decay=layer_decay)
        before = by_name(network, parameter_groups(network, plain))
        settings = Optimizer(layer_decay=layer_decay, head_lr=10)
        found = by_name(network, parameter_groups(network, settings))
        for parameter, group in found.items():
            assert group["weight_decay"] == before[parameter]["weight_decay"]
            wanted = 10 if parameter in head else before[parameter].get("lr_scale", 1)
            assert group.get("lr_scale", 1) == wanted


def test_a_new_head_of_two_layers_is_the_head() -> None:
    network = build("resnet18")
    mlp_head(network, 5, 0.0)
    assert len(head_names(network)) == 6
    found = by_name(network, parameter_groups(network, Optimizer(layer_decay=0.5, head_lr=3)))
    assert {found[name]["lr_scale"] for name in head_names(network)} == {3}


def test_embeddings_and_what_is_fixed() -> None:
    network = build("vit_tiny_patch16_224")
    network.get_parameter("blocks.0.attn.qkv.weight").requires_grad_(False)
    for settings in (Optimizer(), Optimizer(layer_decay=0.5)):
        found = by_name(network, parameter_groups(network, settings))
        assert found["pos_embed"]["weight_decay"] == 0
    found = by_name(network, parameter_groups(network, Optimizer(), hybrid=True))
    outer = {name for name, group in found.items() if group.get("use_fallback")}
    assert {"pos_embed", "cls_token", "patch_embed.proj.weight", "head.weight"} <= outer
    assert "blocks.0.mlp.fc1.weight" not in outer


def learn(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    network_input = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    set_rates(optimizer, 0.01, None)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(network(network_input), torch.arange(8) % 5).backward()
        optimizer.step()


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("head", ["own", "mlp"])
@pytest.mark.parametrize("name", ["adamw", "adoptw", "muon"])
def test_only_the_head_learns_while_the_rest_is_frozen(name: str, head: str) -> None:
    network = build("resnet18")
    if head == "mlp":
        mlp_head(network, 5, 0.0)
    network.train().get_parameter("layer1.0.conv1.weight").requires_grad_(False)
    settings = Optimizer(name=name, freeze_epochs=1, weight_decay=0.5)
    optimizer = make_optimizer(network, settings, torch.device("cpu"))
    before = state(network)
    freeze(network, optimizer, True)
    learn(network, optimizer, 3)
    changed = {n for n, value in state(network).items() if not torch.equal(value, before[n])}
    assert all(n.startswith("fc.") for n in changed)
    assert changed >= head_names(network)
    if head == "mlp":  # the head's own norm is not frozen
        assert "fc.2.running_mean" in changed
    assert all(n.startswith("fc") for n, w in network.named_parameters() if w in optimizer.state)
    network.train()
    freeze(network, optimizer, False)
    before = state(network)
    learn(network, optimizer, 4)  # branches begin at zero, and the first of ADOPT's steps looks
    after = state(network)
    still = {n for n in after if torch.equal(after[n], before[n])}
    assert still == {"layer1.0.conv1.weight"}
