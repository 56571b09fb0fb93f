"""Each loss is its formula."""

import numpy as np
import pytest
import torch

from foldwise.config import LOSSES, Loss
from foldwise.models.outputs import LOSS_OF_TASK, LOSSES_OF_TASK, outputs, reader
from foldwise.training.losses import loss_of

LOGITS = torch.randn(7, 4, generator=torch.manual_seed(0))
LABELS = torch.tensor([0, 3, 1, 1, 2, 0, 3])


def bce(logits: np.ndarray, flags: np.ndarray) -> float:
    p = 1 / (1 + np.exp(-logits))
    return float(-(flags * np.log(p) + (1 - flags) * np.log(1 - p)).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing: float) -> None:
    share = np.exp(LOGITS.numpy()) / np.exp(LOGITS.numpy()).sum(1, keepdims=True)
    targets = np.eye(4)[LABELS] * (1 - smoothing) + smoothing / 4
    expected = -(targets * np.log(share)).sum(1).mean()
    found = loss_of(Loss("cross_entropy", smoothing), LOGITS, LABELS)
    assert found.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bce(smoothing: float) -> None:
    one = loss_of(Loss("bce", smoothing), LOGITS, LABELS).item()
    flags = np.eye(4)[LABELS] * (1 - smoothing) + smoothing / 4
    assert one == pytest.approx(bce(LOGITS.numpy(), flags), rel=1e-5)
    many = torch.tensor(np.random.default_rng(0).integers(0, 2, (7, 4)), dtype=torch.float32)
    expected = bce(LOGITS.numpy(), many.numpy() * (1 - smoothing) + smoothing / 2)
    found = loss_of(Loss("bce", smoothing), LOGITS, many, multilabel=True).item()
    assert found == pytest.approx(expected, rel=1e-5)


def test_ordinal_counts_the_steps() -> None:
    steps = LOGITS[:, :3]
    flags = np.array([[label > k for k in range(3)] for label in LABELS], float)
    found = loss_of(Loss("ordinal"), steps, LABELS).item()
    assert found == pytest.approx(bce(steps.numpy(), flags), rel=1e-5)


def test_numbers() -> None:
    true = LOGITS.roll(1, 0)
    error = (LOGITS - true).numpy()
    huber = np.where(abs(error) < 1, error**2 / 2, abs(error) - 0.5)
    for name, expected in {
        "mse": (error**2).mean(),
        "mae": abs(error).mean(),
        "smooth_l1": huber.mean(),
    }.items():
        found = loss_of(Loss(name), LOGITS, true).item()
        assert found == pytest.approx(expected, rel=1e-5), name


def test_every_loss_belongs_to_a_task_and_is_read_back() -> None:
    assert {name for names in LOSSES_OF_TASK.values() for name in names} == set(LOSSES)
    network = torch.nn.Identity()
    for task, names in LOSSES_OF_TASK.items():
        assert LOSS_OF_TASK[task] == names[0]
        for name in names[: None if task != "regression" else 0]:
            logits = 5 * LOGITS[:, : outputs(name, 4)]
            probs = reader(name, task, network)(logits)
            assert probs.shape == (7, 4) and (probs >= 0).all() and (probs <= 1).all()
            if task != "multilabel":
                np.testing.assert_allclose(probs.sum(1), 1, atol=1e-5)
            if task == "multiclass":
                assert (probs.argmax(1) == logits.argmax(1)).all()


def test_shares_of_certain_noes_are_still_shares() -> None:
    probs = reader("bce", "multiclass", torch.nn.Identity())(torch.full((2, 3), -500.0))
    np.testing.assert_allclose(probs, 1 / 3, atol=1e-6)


def test_steps_give_the_class_that_they_stop_at() -> None:
    steps = torch.tensor([[9.0, 9, 9], [9, 9, -9], [9, -9, -9], [-9, -9, -9]])
    probs = reader("ordinal", "ordinal", torch.nn.Identity())(steps)
    assert probs.argmax(1).tolist() == [3, 2, 1, 0] and (probs.max(1).values > 0.99).all()
