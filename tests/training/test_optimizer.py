"""Optimizers step by step beside their formulas, in float64; clipping likewise."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from foldwise.config import Optimizer
from foldwise.errors import UsageError
from foldwise.training.optimizer import clip_gradients, make_optimizer, set_rates

CPU = torch.device("cpu")
NETWORK = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
DECAY, STEPS = 0.1, 12
RATES = [0.01 * (n + 1) / STEPS for n in range(STEPS)]  # a schedule that every part must follow


class Small(nn.Module):
    """Two matrices between a first and a last layer, in timm's words, with a norm."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.conv = nn.Conv2d(8, 16, 3)
        self.middle = nn.Linear(16, 12)
        self.fc = nn.Linear(12, 5)
        self.pretrained_cfg = {"first_conv": "stem"}

    def get_classifier(self) -> nn.Module:
        return self.fc


def small() -> nn.Module:
    torch.manual_seed(0)
    return Small().double()


def trained(settings: Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
    """After STEPS updates with gradients that a seed draws."""
    network = small()
    optimizer = make_optimizer(network, settings, CPU)
    for step, rate in enumerate(RATES):
        set_rates(optimizer, rate, None)
        for weight, grad in zip(network.parameters(), gradients(step), strict=True):
            weight.grad = grad
        optimizer.step()
    return network, optimizer


def gradients(step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in small().parameters()]


def by_formula(update: Callable[..., None]) -> list[Tensor]:
    """``update(t, w, g, state, rate, decay)`` changes a weight, STEPS times, t from 1."""
    weights = [weight.detach().clone() for weight in small().parameters()]
    states: list[dict[str, Any]] = [{} for _ in weights]
    for step, rate in enumerate(RATES):
        for w, g, state in zip(weights, gradients(step), states, strict=True):
            update(step + 1, w, g, state, rate, DECAY if w.ndim > 1 else 0.0)
    return weights


def sgd(t: int, w: Tensor, g: Tensor, state: dict[str, Any], rate: float, decay: float) -> None:
    g = g + decay * w
    state["v"] = g if t == 1 else 0.9 * state["v"] + g
    w -= rate * state["v"]


def nesterov(
    t: int, w: Tensor, g: Tensor, state: dict[str, Any], rate: float, decay: float
) -> None:
    g = g + decay * w
    state["v"] = g if t == 1 else 0.9 * state["v"] + g
    w -= rate * (g + 0.9 * state["v"])


def adamw(t: int, w: Tensor, g: Tensor, state: dict[str, Any], rate: float, decay: float) -> None:
    w *= 1 - rate * decay
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    state["v"] = 0.98 * state.get("v", 0) + 0.02 * g**2
    m, v = state["m"] / (1 - 0.9**t), state["v"] / (1 - 0.98**t)
    w -= rate * m / (v.sqrt() + 1e-8)


def adoptw(t: int, w: Tensor, g: Tensor, state: dict[str, Any], rate: float, decay: float) -> None:
    """Taniguchi et al., 2024, algorithm 2; the bound of the t-th update is (t - 1)^0.333."""
    if t > 1:
        bound = (t - 1) ** 0.333
        normed = (g / state["v"].sqrt().clamp(min=1e-6)).clamp(-bound, bound)
        state["m"] = 0.9 * state.get("m", 0) + 0.1 * normed
        w -= rate * (decay * w + state["m"])
    state["v"] = g**2 if t == 1 else 0.98 * state["v"] + 0.02 * g**2


def lion(t: int, w: Tensor, g: Tensor, state: dict[str, Any], rate: float, decay: float) -> None:
    """Chen et al., Symbolic Discovery of Optimization Algorithms, 2023."""
    m = state.get("m", torch.zeros_like(g))
    w -= rate * ((0.9 * m + 0.1 * g).sign() + decay * w)
    state["m"] = 0.98 * m + 0.02 * g


@pytest.mark.parametrize(
    ("name", "formula"),
    [("momentum", sgd), ("sgd", nesterov), ("adamw", adamw), ("adoptw", adoptw), ("lion", lion)],
)
def test_an_optimizer_follows_its_formula(name: str, formula: Callable[..., None]) -> None:
    betas = [] if formula in (sgd, nesterov) else [0.9, 0.98]
    network, _ = trained(Optimizer(name=name, weight_decay=DECAY, betas=betas))
    for got, wanted in zip(network.parameters(), by_formula(formula), strict=True):
        torch.testing.assert_close(got.detach(), wanted, rtol=1e-12, atol=1e-12)


def test_adamw_is_that_of_torch() -> None:
    network, _ = trained(Optimizer(weight_decay=DECAY))
    twin = small()
    groups = [[w for w in twin.parameters() if (w.ndim > 1) == large] for large in (True, False)]
    options = {"fused": False, "foreach": False}
    plain = torch.optim.AdamW(
        [{"params": part, "weight_decay": d} for part, d in zip(groups, (DECAY, 0), strict=True)],
        **options,
    )
    for step, rate in enumerate(RATES):
        for group in plain.param_groups:
            group["lr"] = rate
        for weight, grad in zip(twin.parameters(), gradients(step), strict=True):
            weight.grad = grad
        plain.step()
    for got, wanted in zip(network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-13, atol=1e-14)


def orthogonal(update: Tensor) -> Tensor:
    """Five Newton-Schulz steps towards U V^T, with the coefficients of timm's default."""
    x = update / update.norm()
    for a, b, c in (
        (4.0848, -6.8946, 2.9270),
        (3.9505, -6.3029, 2.6377),
        (3.7418, -5.5913, 2.3037),
        (2.8769, -3.1427, 1.2046),
        (2.8366, -3.0525, 1.2012),
    ):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x


def muon(t: int, w: Tensor, g: Tensor, state: dict[str, Any], rate: float, decay: float) -> None:
    """Jordan et al., 2024; a matrix (a kernel flattened) is scaled as in Liu et al., 2025."""
    if w.shape not in ((16, 8, 3, 3), (12, 16)):
        state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
        state["v"] = 0.95 * state.get("v", 0) + 0.05 * g**2
        m, v = state["m"] / (1 - 0.9**t), state["v"] / (1 - 0.95**t)
        w -= rate * (m / (v.sqrt() + 1e-7) + decay * w)
        return
    state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    matrix = state["m"].flatten(1)
    scale = 0.2 * max(matrix.shape) ** 0.5
    w -= rate * (scale * orthogonal(matrix).reshape(w.shape) + decay * w)


def test_muon_is_for_the_matrices_and_adamw_for_the_rest() -> None:
    network, optimizer = trained(Optimizer(name="muon", weight_decay=DECAY))
    by_muon = {n for n, w in network.named_parameters() if optimizer.state[w]["use_muon"]}
    assert by_muon == {"conv.weight", "middle.weight"}
    wanted = by_formula(muon)
    for (name, got), start, end in zip(
        network.named_parameters(), small().parameters(), wanted, strict=True
    ):
        if name in by_muon:  # it multiplies in bfloat16, whose numbers have three digits
            error = (got - end).norm() / (end - start).norm()
            assert error < 0.01
        else:
            torch.testing.assert_close(got.detach(), end, rtol=1e-12, atol=1e-12)


def test_all_of_muon_stands_still_at_a_rate_of_zero() -> None:
    network = small()
    optimizer = make_optimizer(network, Optimizer(name="muon"), CPU)
    set_rates(optimizer, 0.0, None)
    for weight, grad in zip(network.parameters(), gradients(0), strict=True):
        weight.grad = grad
    optimizer.step()
    for got, start in zip(network.parameters(), small().parameters(), strict=True):
        assert torch.equal(got, start)


@pytest.mark.parametrize("name", ["adamw", "sgd", "adam"])
def test_the_fused_form_is_used_where_there_is_one(name: str) -> None:
    optimizer = make_optimizer(NETWORK, Optimizer(name=name), CPU)
    assert all(group["fused"] for group in optimizer.param_groups)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "rmsprop", "adopt", "lookahead_adamw"])
def test_norms_and_biases_are_not_decayed(name: str) -> None:
    optimizer = make_optimizer(NETWORK, Optimizer(name=name, weight_decay=0.3), CPU)
    for group in optimizer.param_groups:
        for weight in group["params"]:
            assert group["weight_decay"] == (0.3 if weight.ndim > 1 else 0)


def test_settings_reach_the_optimizer() -> None:
    settings = Optimizer(lr=0.5, betas=[0.8, 0.9], args={"eps": 0.25})
    group = make_optimizer(NETWORK, settings, CPU).param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (0.5, (0.8, 0.9), 0.25)
    settings = Optimizer(name="sgd", momentum=0.7, args={"nesterov": False})
    group = make_optimizer(NETWORK, settings, CPU).param_groups[0]
    assert (group["momentum"], group["nesterov"]) == (0.7, False)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (Optimizer(name="adamm"), "did you mean 'adam"),
        (Optimizer(betas=[0.9]), "takes 2 numbers"),
        (Optimizer(betas=[0.9, 0.99, 0.999]), "takes 2 numbers"),
        (Optimizer(betas=[0.9, 1.5]), "does not build"),
        (Optimizer(name="sgd", betas=[0.9, 0.99]), "takes no optimizer.betas"),
        (Optimizer(args={"epsilon": 1e-6}), "does not build.*epsilon"),
        (Optimizer(args={"lr": 1e-3}), "say optimizer.lr"),
        (Optimizer(args={"foreach": True}), "does not build.*fused"),
        (Optimizer(name="adahessian"), "second derivatives"),
        pytest.param(
            Optimizer(name="bnbadamw"),
            "does not build.*CUDA",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there"),
        ),
    ],
)
def test_what_the_factory_refuses_is_a_usage_error(settings: Optimizer, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        make_optimizer(NETWORK, settings, CPU)


def test_rates_and_momentum_reach_every_group() -> None:
    for name, betas in (("sgd", None), ("muon", (0.9, 0.95)), ("adamw", (0.7, 0.999))):
        settings = Optimizer(name=name, layer_decay=0.5, head_lr=4)
        optimizer = make_optimizer(small(), settings, CPU)
        set_rates(optimizer, 0.25, 0.7)
        for group in optimizer.param_groups:
            assert group["lr"] == 0.25 * group["lr_scale"]
            assert group.get("betas") == betas
            assert group.get("momentum", 0.7) == 0.7
        assert len({group["lr"] for group in optimizer.param_groups}) > 1


def clipped(settings: Optimizer) -> list[tuple[str, Tensor, Tensor, Tensor]]:
    """Names, weights, their gradients before and after."""
    network = small()
    optimizer = make_optimizer(network, settings, CPU)
    for weight, grad in zip(network.parameters(), gradients(0), strict=True):
        weight.grad = grad
    clip_gradients(network, optimizer, settings)
    named = zip(network.named_parameters(), gradients(0), strict=True)
    return [(n, w.detach(), before, w.grad) for (n, w), before in named if w.grad is not None]


def test_clipping_by_norm() -> None:
    found = clipped(Optimizer(clip=0.5))
    norm = torch.cat([before.flatten() for _, _, before, _ in found]).norm()
    for _, _, before, after in found:
        torch.testing.assert_close(after, before * 0.5 / norm, rtol=1e-6, atol=0)


def test_clipping_by_value() -> None:
    for _, _, before, after in clipped(Optimizer(clip=0.5, clip_mode="value")):
        assert torch.equal(after, before.clamp(-0.5, 0.5))


def test_adaptive_clipping() -> None:
    for name, weight, before, after in clipped(Optimizer(clip=0.5, clip_mode="agc")):
        if name.startswith("fc."):
            assert torch.equal(after, before)
            continue
        units = (weight.flatten(1), before.flatten(1)) if weight.ndim > 1 else (weight, before)
        norms = [x.norm(dim=-1, keepdim=True).double() for x in units]
        wanted = units[1] * (0.5 * norms[0].clamp(min=1e-3) / norms[1]).clamp(max=1)
        torch.testing.assert_close(after, wanted.reshape(after.shape), rtol=1e-9, atol=1e-12)
