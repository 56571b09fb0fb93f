import torch
from torch import nn
from torch.nn import functional

from foldwise.models.blocks import BasicBlock, GeM, SpaceToDepthConv, SpatialAttention


def test_space_to_depth_keeps_every_pixel() -> None:
    block = SpaceToDepthConv(3, 8)
    block.conv = nn.Identity()
    images = torch.rand(2, 3, 6, 8)
    rearranged = block(images)
    assert rearranged.shape == (2, 12, 3, 4)
    wanted = functional.pixel_unshuffle(images, 2).reshape(2, 3, 4, 3, 4).transpose(1, 2)
    assert torch.equal(rearranged, wanted.reshape(2, 12, 3, 4))
    odd = block(torch.rand(1, 3, 5, 7))
    assert odd.shape == (1, 12, 3, 4)
    assert not odd[:, 6:, -1].any()  # the row that was added


def test_spatial_attention_is_the_papers_formula() -> None:
    block, features = SpatialAttention(), torch.randn(2, 5, 9, 9)
    seen = torch.stack([features.mean(1), features.amax(1)], dim=1)
    weights = torch.sigmoid(functional.conv2d(seen, block.conv.weight, padding=3))
    torch.testing.assert_close(block(features), features * weights)
    assert [tuple(p.shape) for p in block.parameters()] == [(1, 2, 7, 7)]


def test_gem_lies_between_mean_and_maximum_and_learns_its_power() -> None:
    pool, features = GeM(), torch.rand(2, 4, 6, 6)
    mean, highest = features.mean((2, 3), keepdim=True), features.amax((2, 3), keepdim=True)
    with torch.no_grad():
        pool.p.fill_(1.0)
        torch.testing.assert_close(pool(features), mean)
        pool.p.fill_(300.0)
        torch.testing.assert_close(pool(features), highest, rtol=0.02, atol=0)
        pool.p.fill_(3.0)
        torch.testing.assert_close(pool(features), features.pow(3).mean((2, 3), True) ** (1 / 3))
    pool(features).sum().backward()
    assert pool.p.grad is not None and pool.p.grad.item() > 0
    assert pool(features.half() * 200).isfinite().all()  # cubes of 200 are beyond fp16
    assert pool(torch.zeros(1, 1, 2, 2)).isfinite().all()


def test_a_basic_block_without_its_branch_is_its_shortcut() -> None:
    features = torch.rand(2, 4, 7, 7)
    for stride, outputs in ((1, 4), (2, 6)):
        block = BasicBlock(4, outputs, stride, kernel=5, squeeze=True).eval()
        nn.init.zeros_(block.conv2.bn.weight)
        torch.testing.assert_close(block(features), block.shortcut(features).relu())


def test_stochastic_depth_drops_whole_branches_and_drop_block_regions() -> None:
    torch.manual_seed(0)
    features = torch.rand(64, 4, 8, 8)
    block = BasicBlock(4, 4, drop_path=0.5)
    kept = [not torch.equal(out, one) for out, one in zip(block(features), features, strict=True)]
    assert 16 < sum(kept) < 48
    assert not torch.equal(block.eval()(features), features)
    dropping = BasicBlock(4, 4, drop_block=0.3).train()
    between = dropping.drop_block(torch.ones(8, 4, 8, 8))
    assert 0 < (between == 0).float().mean() < 0.6
    assert torch.equal(between[:, 0] == 0, between[:, 3] == 0)  # all channels of a place
