import pytest
import torch
from torch import nn

from foldwise.config import Optimizer
from foldwise.errors import UsageError
from foldwise.training.optimizer import make_optimizer

CPU = torch.device("cpu")
NETWORK = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


@pytest.mark.parametrize("name", ["adamw", "sgd", "adam"])
def test_the_fused_form_is_used_where_there_is_one(name: str) -> None:
    optimizer = make_optimizer(NETWORK, Optimizer(name=name), CPU)
    assert all(group["fused"] for group in optimizer.param_groups)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "rmsprop", "adopt"])
def test_norms_and_biases_are_not_decayed(name: str) -> None:
    optimizer = make_optimizer(NETWORK, Optimizer(name=name, weight_decay=0.3), CPU)
    for group in optimizer.param_groups:
        for weight in group["params"]:
            assert group["weight_decay"] == (0.3 if weight.ndim > 1 else 0)


def test_settings_reach_the_optimizer() -> None:
    settings = Optimizer(lr=0.5, betas=[0.8, 0.9])
    group = make_optimizer(NETWORK, settings, CPU).param_groups[0]
    assert (group["lr"], group["betas"]) == (0.5, (0.8, 0.9))
    settings = Optimizer(name="sgd", momentum=0.7)
    assert make_optimizer(NETWORK, settings, CPU).param_groups[0]["momentum"] == 0.7


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (Optimizer(name="adamm"), "did you mean 'adam"),
        (Optimizer(betas=[0.9]), "takes 2 numbers"),
        (Optimizer(betas=[0.9, 0.99, 0.999]), "takes 2 numbers"),
        (Optimizer(betas=[0.9, 1.5]), "does not build"),
        (Optimizer(name="sgd", betas=[0.9, 0.99]), "takes no optimizer.betas"),
    ],
)
def test_what_the_factory_refuses_is_a_usage_error(settings: Optimizer, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        make_optimizer(NETWORK, settings, CPU)
