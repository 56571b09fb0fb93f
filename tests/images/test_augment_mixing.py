import pytest
import torch
from torch import Tensor

from foldwise.config import Augment, Loss
from foldwise.images.mixing import draw_weights, mix, soft_targets
from foldwise.training.losses import loss_of

CPU = torch.device("cpu")
PIXELS = torch.randn(32, 3, 24, 24, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(32) % 7
TARGETS = soft_targets(LABELS, 7)
WAYS = [
    {"mixup": 0.2}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0},
    {"mixup": 0.4, "cutmix": 1.0, "mix_both": "alternate"},
]  # fmt: skip


def mixed(seed: int = 0, step: int = 0, **settings: object) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return mix(PIXELS, TARGETS, Augment(**settings), step)  # type: ignore[arg-type]


@pytest.mark.parametrize("by", ["batch", "image"])
@pytest.mark.parametrize("settings", WAYS)
def test_labels_of_mixed_batches_sum_to_one(settings: dict[str, object], by: str) -> None:
    for step in range(20):
        pixels, targets = mixed(step, step, mix_by=by, mix_prob=0.8, **settings)
        assert pixels.shape == PIXELS.shape
        assert targets.min() >= 0
        torch.testing.assert_close(targets.sum(1), torch.ones(32), rtol=0, atol=1e-6)


@pytest.mark.parametrize("by", ["batch", "image"])
def test_mixup_weighs_pixels_as_labels(by: str) -> None:
    pixels, targets = mixed(mixup=1.0, mix_by=by)
    share = targets.gather(1, LABELS[:, None]).flatten()
    wanted = share[:, None, None, None] * PIXELS
    wanted += (1 - share)[:, None, None, None] * PIXELS.roll(1, 0)
    torch.testing.assert_close(pixels, wanted)
    assert len(share.unique()) == (1 if by == "batch" else 32)


@pytest.mark.parametrize("by", ["batch", "image"])
def test_cutmix_takes_each_pixel_from_one_image_and_counts_them(by: str) -> None:
    pixels, targets = mixed(cutmix=1.0, mix_by=by)
    own = (pixels == PIXELS).all(1)
    other = (pixels == PIXELS.roll(1, 0)).all(1)
    assert (own | other).all()
    share = targets.gather(1, LABELS[:, None]).flatten()
    torch.testing.assert_close(own.flatten(1).float().mean(1), share)
    for image in other:  # what is not its own is one box
        rows, columns = image.any(1).sum(), image.any(0).sum()
        assert image.sum() == rows * columns


def test_alternating_takes_turns() -> None:
    both = {"mixup": 1.0, "cutmix": 1.0, "mix_both": "alternate"}
    for step in range(6):
        pixels, _ = mixed(1, step, **both)
        pure = ((pixels == PIXELS) | (pixels == PIXELS.roll(1, 0))).all()
        assert pure == (step % 2 == 1)


def test_both_at_random_are_half_and_half() -> None:
    torch.manual_seed(0)
    settings = Augment(mixup=1.0, cutmix=1.0, mix_by="image")
    weights = draw_weights(settings, torch.Size((2000, 3, 8, 8)), 0, CPU).flatten(1)
    boxes = ((weights == 0) | (weights == 1)).all(1).float().mean()
    assert 0.45 < boxes < 0.55


def test_the_share_of_images_that_mix() -> None:
    torch.manual_seed(0)
    settings = Augment(mixup=1.0, mix_prob=0.3, mix_by="image")
    weights = draw_weights(settings, torch.Size((4000, 3, 8, 8)), 0, CPU)
    assert 0.27 < (weights < 1).float().mean() < 0.33
    pixels, targets = mixed(mixup=1.0, mix_prob=0.0)
    assert pixels is PIXELS
    assert targets is TARGETS


def test_shares_are_of_the_beta_distribution() -> None:
    torch.manual_seed(0)
    for alpha in (0.2, 1.0, 4.0):
        settings = Augment(mixup=alpha, mix_by="image")
        share = draw_weights(settings, torch.Size((5000, 1, 2, 2)), 0, CPU).flatten()
        assert share.mean() == pytest.approx(0.5, abs=0.03)
        assert share.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.1)


def test_the_seed_decides() -> None:
    for settings in WAYS:
        one, two, other = (mixed(seed, **settings)[0] for seed in (1, 1, 2))
        assert torch.equal(one, two)
        assert not torch.equal(one, other)


def test_nothing_waits_for_the_device() -> None:
    pixels = torch.empty(8, 3, 6, 6, device="meta")
    targets = soft_targets(torch.empty(8, dtype=torch.int64, device="meta"), 5)
    for settings in WAYS:
        found = mix(pixels, targets, Augment(**settings, mix_prob=0.5), 0)  # type: ignore[arg-type]
        assert [part.shape for part in found] == [pixels.shape, targets.shape]


@pytest.mark.parametrize("name", ["cross_entropy", "bce", "ordinal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses(name: str, smoothing: float) -> None:
    classes = 7
    logits = torch.randn(32, classes - (name == "ordinal"), generator=torch.manual_seed(2))
    loss, share = Loss(name, smoothing), 0.3
    other = LABELS.roll(1, 0)
    soft = share * TARGETS + (1 - share) * soft_targets(other, classes)
    wanted = share * loss_of(loss, logits, LABELS) + (1 - share) * loss_of(loss, logits, other)
    torch.testing.assert_close(loss_of(loss, logits, soft), wanted)
    torch.testing.assert_close(loss_of(loss, logits, TARGETS), loss_of(loss, logits, LABELS))


def test_numbers_mix_as_the_images_do() -> None:
    torch.manual_seed(0)
    numbers = torch.randn(32, 2)
    pixels, targets = mix(PIXELS, numbers, Augment(mixup=1.0), 0)
    share = ((pixels - PIXELS.roll(1, 0)) / (PIXELS - PIXELS.roll(1, 0))).median()
    wanted = share * numbers + (1 - share) * numbers.roll(1, 0)
    torch.testing.assert_close(targets, wanted, rtol=0, atol=1e-4)
