"""Each loss is its formula."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from foldwise.config import LOSSES, Loss
from foldwise.images.mixing import soft_targets
from foldwise.models.outputs import LOSS_OF_TASK, LOSSES_OF_TASK, outputs, reader
from foldwise.training.losses import distillation, loss_of

LOGITS = torch.randn(7, 4, generator=torch.manual_seed(0))
LABELS = torch.tensor([0, 3, 1, 1, 2, 0, 3])
FLAGS = torch.tensor(np.random.default_rng(0).integers(0, 2, (7, 4)), dtype=torch.float32)
WEIGHTS = torch.tensor([0.5, 2.0, 1.0, 0.1])
ROWS = torch.tensor([1.0, 0.0, 3.0, 0.5, 1.0, 2.0, 0.25])
MIXED = torch.lerp(soft_targets(LABELS.roll(1), 4), soft_targets(LABELS, 4), 0.7)
MIXED_FLAGS = torch.lerp(FLAGS.roll(1, 0), FLAGS, 0.7)
CASES = {  # every loss with classes: the task's way of saying what is true
    **{name: (name, LABELS, False) for name in ("cross_entropy", "focal", "bce", "ordinal")},
    **{f"{name} flags": (name, FLAGS, True) for name in ("focal", "bce")},
}
every_loss = pytest.mark.parametrize("case", CASES)


def loss(case: str, targets: Tensor | None = None, **more: object) -> Tensor:
    """The loss of LOGITS, with settings of `Loss` or arguments of loss_of."""
    name, known, multilabel = CASES[case]
    weights = {key: more.pop(key) for key in ("class_weights", "row_weights") if key in more}
    logits = more.pop("logits", LOGITS)[:, : outputs(name, 4)]
    settings = Loss(name, **more)  # type: ignore[arg-type]
    return loss_of(settings, logits, known if targets is None else targets, multilabel, **weights)


def bce(logits: np.ndarray, flags: np.ndarray) -> float:
    p = 1 / (1 + np.exp(-logits))
    return float(-(flags * np.log(p) + (1 - flags) * np.log(1 - p)).mean())


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(smoothing: float) -> None:
    share = np.exp(LOGITS.numpy()) / np.exp(LOGITS.numpy()).sum(1, keepdims=True)
    targets = np.eye(4)[LABELS] * (1 - smoothing) + smoothing / 4
    expected = -(targets * np.log(share)).sum(1).mean()
    assert loss("cross_entropy", smoothing=smoothing).item() == pytest.approx(expected, rel=1e-5)
    weighted = functional.cross_entropy(LOGITS, LABELS, WEIGHTS, label_smoothing=smoothing)
    found = loss("cross_entropy", smoothing=smoothing, class_weights=WEIGHTS)
    torch.testing.assert_close(found, weighted, rtol=1e-5, atol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bce(smoothing: float) -> None:
    flags = np.eye(4)[LABELS] * (1 - smoothing) + smoothing / 4
    found = loss("bce", smoothing=smoothing).item()
    assert found == pytest.approx(bce(LOGITS.numpy(), flags), rel=1e-5)
    rows = [bce(LOGITS[n].numpy(), flags[n]) * WEIGHTS[LABELS[n]] for n in range(7)]
    found = loss("bce", smoothing=smoothing, class_weights=WEIGHTS).item()
    assert found == pytest.approx(float(sum(rows) / WEIGHTS[LABELS].sum()), rel=1e-5)
    flags = FLAGS.numpy() * (1 - smoothing) + smoothing / 2
    found = loss("bce flags", smoothing=smoothing).item()
    assert found == pytest.approx(bce(LOGITS.numpy(), flags), rel=1e-5)
    columns = [bce(LOGITS[:, c].numpy(), flags[:, c]) * WEIGHTS[c] for c in range(4)]
    found = loss("bce flags", smoothing=smoothing, class_weights=WEIGHTS).item()
    assert found == pytest.approx(float(sum(columns) / WEIGHTS.sum()), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
@pytest.mark.parametrize("alpha", [0.0, 0.25])
def test_focal(gamma: float, alpha: float) -> None:
    settings = {"focal_gamma": gamma, "focal_alpha": alpha}
    p = LOGITS.double().softmax(1).numpy()
    true = p[range(7), LABELS]
    expected = -((alpha or 1) * (1 - true) ** gamma * np.log(true)).mean()
    assert loss("focal", **settings).item() == pytest.approx(expected, rel=1e-5)
    t = np.eye(4)[LABELS] * 0.9 + 0.1 / 4
    terms = (alpha or 1) * t * WEIGHTS.numpy() * -((1 - p) ** gamma) * np.log(p)
    found = loss("focal", **settings, smoothing=0.1, class_weights=WEIGHTS).item()
    assert found == pytest.approx(terms.sum() / WEIGHTS[LABELS].sum().item(), rel=1e-5)
    known = sigmoid_focal_loss(LOGITS, FLAGS, alpha or -1, gamma, "mean")
    torch.testing.assert_close(loss("focal flags", **settings), known, rtol=1e-5, atol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("targets", [LABELS, MIXED], ids=["classes", "mixed"])
def test_focal_with_gamma_0_is_the_plain_loss(smoothing: float, targets: Tensor) -> None:
    one = {"smoothing": smoothing, "targets": targets, "focal_gamma": 0.0}
    for more in ({}, {"class_weights": WEIGHTS}, {"row_weights": ROWS}):
        plain = loss("cross_entropy", **one, **more)
        torch.testing.assert_close(loss("focal", **one, **more), plain, rtol=1e-5, atol=0)
    plain = loss("bce flags", smoothing=smoothing)
    focal = loss("focal flags", smoothing=smoothing, focal_gamma=0.0)
    torch.testing.assert_close(focal, plain, rtol=1e-5, atol=0)


@every_loss
def test_equal_weights_change_nothing(case: str) -> None:
    plain = loss(case, smoothing=0.1)
    for weight in (1.0, 5.0):
        found = loss(case, smoothing=0.1, class_weights=torch.full((4,), weight))
        torch.testing.assert_close(found, plain, rtol=1e-5, atol=0)
    torch.testing.assert_close(
        loss(case, smoothing=0.1, row_weights=torch.ones(7)), plain, rtol=1e-5, atol=0
    )


@every_loss
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weights"])
def test_the_order_of_a_batch_does_not_matter(case: str, weights: Tensor | None) -> None:
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    known = CASES[case][1]
    moved = loss(case, known[order], logits=LOGITS[order], class_weights=weights)
    torch.testing.assert_close(moved, loss(case, class_weights=weights), rtol=1e-5, atol=0)


@pytest.mark.parametrize("case", ["cross_entropy", "focal", "bce", "ordinal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_certain_distributions_are_classes(case: str, smoothing: float) -> None:
    for more in ({}, {"class_weights": WEIGHTS}, {"class_weights": WEIGHTS, "row_weights": ROWS}):
        one = loss(case, LABELS, smoothing=smoothing, **more)
        many = loss(case, soft_targets(LABELS, 4), smoothing=smoothing, **more)
        torch.testing.assert_close(many, one, rtol=1e-5, atol=0)


@every_loss
def test_the_loss_of_mixed_images_is_the_mixture_of_their_losses(case: str) -> None:
    _, known, multilabel = CASES[case]
    mixed = MIXED_FLAGS if multilabel else MIXED
    parts = [loss(case, part, smoothing=0.1) for part in (known, known.roll(1, 0))]
    torch.testing.assert_close(
        loss(case, mixed, smoothing=0.1), 0.7 * parts[0] + 0.3 * parts[1], rtol=1e-5, atol=0
    )


@every_loss
def test_a_row_weighs_as_often_as_it_is_there(case: str) -> None:
    _, known, _ = CASES[case]
    twice = torch.tensor([0, 0, 1, 2, 3, 4, 5, 6])  # row 0 comes twice
    weights = torch.tensor([2.0, *[1.0] * 6])
    found = loss(case, smoothing=0.1, row_weights=weights) * 7 / 8
    expected = loss(case, known[twice], logits=LOGITS[twice], smoothing=0.1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)


@every_loss
@pytest.mark.parametrize("size", [50.0, 1e4])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradients_of_extreme_logits_are_finite(case: str, size: float, gamma: float) -> None:
    for sign in (1, -1):
        logits = (sign * size * (2 * soft_targets(LABELS, 4) - 1)).requires_grad_()
        more = {"focal_gamma": gamma, "smoothing": 0.1, "class_weights": WEIGHTS}
        value = loss(case, logits=logits, **more)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(logits.grad).all()


@every_loss
def test_autocast_rounds_no_loss(case: str) -> None:
    for more in ({}, {"class_weights": WEIGHTS, "row_weights": ROWS}):
        with torch.autocast("cpu", torch.bfloat16):
            found = loss(case, smoothing=0.1, **more)
        assert found.dtype == torch.float32
        assert torch.equal(found, loss(case, smoothing=0.1, **more))


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation(temperature: float) -> None:
    teacher, student = LOGITS.roll(1, 0) * 2, LOGITS
    p, q = (np.asarray((z.double() / temperature).softmax(1)) for z in (teacher, student))
    expected = temperature**2 * (p * np.log(p / q)).sum(1).mean()
    found = distillation(student, teacher, temperature, softmax=True).item()
    assert found == pytest.approx(expected, rel=1e-5)
    rows = temperature**2 * ((p * np.log(p / q)).sum(1) * ROWS.numpy()).mean()
    found = distillation(student, teacher, temperature, True, ROWS).item()
    assert found == pytest.approx(rows, rel=1e-5)
    p, q = (np.asarray((z.double() / temperature).sigmoid()) for z in (teacher, student))
    kl = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    found = distillation(student, teacher, temperature, softmax=False).item()
    assert found == pytest.approx(temperature**2 * kl.mean(), rel=1e-5)


def test_at_a_high_temperature_distillation_matches_logits() -> None:
    """Hinton et al., section 2.1: in the limit half the squared difference of centred logits."""
    centred = [z - z.mean(1, keepdim=True) for z in (LOGITS, LOGITS.roll(1, 0))]
    expected = (centred[0] - centred[1]).square().mean(1).mean().item() / 2
    found = distillation(LOGITS.double(), LOGITS.roll(1, 0).double(), 1e3, softmax=True).item()
    assert found == pytest.approx(expected, rel=1e-2)


@pytest.mark.parametrize("softmax", [True, False])
def test_a_student_like_its_teacher_has_nothing_to_learn(softmax: bool) -> None:
    student = LOGITS.clone().requires_grad_()
    value = distillation(student, LOGITS, 3.0, softmax)
    value.backward()
    assert abs(value.item()) < 1e-6 and student.grad.abs().max() < 1e-6
    extreme = (1e4 * LOGITS).requires_grad_()
    value = distillation(extreme, -1e4 * LOGITS, 3.0, softmax)
    value.backward()
    assert math.isfinite(value.item()) and torch.isfinite(extreme.grad).all()


def test_ordinal_counts_the_steps() -> None:
    steps = LOGITS[:, :3]
    flags = np.array([[label > k for k in range(3)] for label in LABELS], float)
    found = loss_of(Loss("ordinal"), steps, LABELS).item()
    assert found == pytest.approx(bce(steps.numpy(), flags), rel=1e-5)


def test_numbers() -> None:
    true = LOGITS.roll(1, 0)
    error = (LOGITS - true).numpy()
    huber = np.where(abs(error) < 1, error**2 / 2, abs(error) - 0.5)
    for name, expected in {"mse": error**2, "mae": abs(error), "smooth_l1": huber}.items():
        found = loss_of(Loss(name), LOGITS, true).item()
        assert found == pytest.approx(expected.mean(), rel=1e-5), name
        found = loss_of(Loss(name), LOGITS, true, row_weights=ROWS).item()
        assert found == pytest.approx((expected.mean(1) * ROWS.numpy()).mean(), rel=1e-5), name


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
