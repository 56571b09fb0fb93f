import pytest
import torch
from timm.utils import ModelEmaV3
from torch import nn

from foldwise.training.ema import Ema, decay_after


def test_the_average_follows_its_formula() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ema = Ema(network, 0.6)
    wanted = network[0].weight.detach().clone()
    for step in range(30):
        with torch.no_grad():
            network[0].weight.add_(torch.randn(4, 3))
            network[1].running_mean.add_(1)
        ema.update(step)
        decay = min(0.6, (1 + step) / (10 + step))
        wanted = decay * wanted + (1 - decay) * network[0].weight.detach()
    torch.testing.assert_close(ema.network[0].weight, wanted)
    assert torch.equal(ema.network[1].running_mean, network[1].running_mean)
    assert not ema.network.training
    assert not any(p.requires_grad for p in ema.network.parameters())


@pytest.mark.parametrize("decay", [0.9, 0.9998])
def test_the_warm_up_by_a_power_is_that_of_timm(decay: float) -> None:
    theirs = ModelEmaV3(nn.Linear(1, 1), decay=decay, use_warmup=True)
    for step in (0, 1, 2, 10, 1000, 100_000, 10_000_000):
        assert decay_after(step, decay, "power") == pytest.approx(theirs.get_decay(step + 1))
    assert decay_after(0, decay, "none") == decay


@pytest.mark.parametrize("warmup", ["ratio", "power", "none"])
def test_the_decay_grows_to_its_limit(warmup: str) -> None:
    decays = [decay_after(step, 0.99, warmup) for step in range(2000)]
    assert decays == sorted(decays)
    assert 0 <= decays[0] <= decays[-1] == 0.99
