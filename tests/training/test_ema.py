import torch
from torch import nn

from foldwise.training.ema import Ema


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
