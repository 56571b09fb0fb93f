"""What classes and rows weigh."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from foldwise.compose import compose, load_config, to_yaml
from foldwise.config import Augment, Config, Loss
from foldwise.errors import UsageError
from foldwise.images.mixing import mix, mix_weighted, soft_targets
from foldwise.provenance import read_table
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from foldwise.training.losses import loss_of
from foldwise.training.weights import check_class_weights, class_weights
from helpers import QUICK, Ended

VALUES = np.repeat([0, 1, 3], [6, 3, 1])  # class 2 has no rows


def config(*words: str, task: str = "multiclass") -> Config:
    made = compose([f"competition.task={task}", "competition.classes=[a, b, c, 007]", *words])
    check_class_weights(made)
    return made


def test_inverse_frequency_sums_to_the_number_of_classes() -> None:
    found = class_weights(config("loss.class_weights=inverse"), VALUES)
    assert found is not None and found.dtype == np.float32
    raw = np.array([1 / 6, 1 / 3, 1])
    np.testing.assert_allclose(found[[0, 1, 3]], 3 * raw / raw.sum(), rtol=1e-6)
    assert found[2] == 1 and found.sum() == pytest.approx(4)


def test_effective_number_lies_between_equal_and_inverse() -> None:
    words = ("loss.class_weights=effective", "loss.effective_beta=0.9")
    found = class_weights(config(*words), VALUES)
    raw = np.array([0.1 / (1 - 0.9**n) for n in (6, 3, 1)])
    np.testing.assert_allclose(found[[0, 1, 3]], 3 * raw / raw.sum(), rtol=1e-6)
    inverse = class_weights(config("loss.class_weights=inverse"), VALUES)
    for beta, expected in ((0, np.ones(4)), (0.999999, inverse)):
        found = class_weights(config(words[0], f"loss.effective_beta={beta}"), VALUES)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_flags_count_for_each_of_their_classes() -> None:
    flags = np.array([[1, 1, 0, 0], [1, 0, 0, 1]], np.uint8)
    found = class_weights(config("loss.class_weights=inverse", task="multilabel"), flags)
    np.testing.assert_allclose(found, [0.6, 1.2, 1, 1.2], rtol=1e-6)
    assert class_weights(config(), VALUES) is None


def test_weights_by_hand_name_their_classes(tmp_path: Path) -> None:
    made = config("loss.class_weights={007: 5, b: 2.5}")
    assert class_weights(made, VALUES).tolist() == [1, 2.5, 1, 5]
    (tmp_path / "config.yaml").write_text(to_yaml(made))
    again = load_config(tmp_path / "config.yaml")
    assert again.loss.class_weights == {"007": 5.0, "b": 2.5}
    assert recipe_hash(again) == recipe_hash(made) != recipe_hash(config())
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("loss: {class_weights: {a: 2}}\n")
    assert class_weights(config(f"config={recipe}"), VALUES).tolist() == [2, 1, 1, 1]


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("inverted", "not one of none, inverse, effective, nor .* did you mean 'inverse'?"),
        ("[1, 2]", "not one of none, inverse, effective"),
        ("{}", "not one of"),
        ("{b: 0}", "b has 0: it must be a number above 0"),
        ("{b: nan}", "b has nan"),
        ("{b: many}", "b has many"),
        ("{7: 2}", "there is no class '7'; .*the classes are a, b, c, 007"),
        ("{bb: 2}", "there is no class 'bb'; did you mean 'b'?"),
    ],
)
def test_wrong_weights_are_usage_errors(word: str, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        config(f"loss.class_weights={word}")


def test_a_regression_has_no_classes() -> None:
    with pytest.raises(UsageError, match="a regression has no classes"):
        config("loss.class_weights=inverse", task="regression")


def test_a_class_that_weighs_more_is_said_more_often(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    shares = []
    for run, weights in (("plain", "none"), ("owls", "{owl: 20}")):
        words = ("competition=pets", "fold=0", *QUICK, "train.epochs=10", "optimizer.lr=0.02")
        words = (*words, "loss.name=focal", "loss.smoothing=0.1", f"loss.class_weights={weights}")
        ended = foldwise(*words, f"run={run}")
        assert ended.code == 0, ended.err
        shares.append(read_table(Run(run).folder / "oof.parquet")[0]["prob_owl"].mean())
    assert shares[1] > shares[0] + 0.1
    ended = foldwise("competition=pets", "fold=0", *QUICK, "loss.class_weights={own: 2}")
    assert ended.code == 2 and "no class 'own'; did you mean 'owl'?" in ended.err


WEIGHED = ("competition=pets", "fold=0", *QUICK, "train.epochs=1", "data.weights=trust")


def weigh(pets: Path, trust: list[object]) -> None:
    """A column ``trust`` in the train table."""
    table = pd.read_csv(pets / "train.csv", dtype=str)
    table["trust"] = (trust * 60)[:60]
    table.to_csv(pets / "train.csv", index=False)


def test_a_run_knows_its_weights_by_what_they_are(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    weigh(pets, [1, 0.5, 0])
    ended = foldwise(*WEIGHED, "run=a")
    assert ended.code == 0, ended.err
    weigh(pets, ["2", "1.0", "0"])
    ended = foldwise(*WEIGHED, "run=a", "overwrite=true")
    assert ended.code == 0, ended.err
    weighed, plain = Run("a").provenance(0), foldwise(*WEIGHED[:-1], "run=plain")
    assert plain.code == 0 and weighed.recipe_hash != Run("plain").provenance(0).recipe_hash
    weigh(pets, [1, 1, 3])
    ended = foldwise(*WEIGHED, "run=a", "fold=1")
    assert ended.code == 1 and "data.weights_digest: " in ended.err


def test_rows_that_weigh_nothing_teach_nothing(foldwise: Callable[..., Ended], pets: Path) -> None:
    weigh(pets, [0, 0, 1])
    words = (*WEIGHED, "train.epochs=10", "optimizer.lr=0.02", "augment.mixup=1", "run=owls")
    ended = foldwise(*words)
    assert ended.code == 0, ended.err
    assert read_table(Run("owls").folder / "oof.parquet")[0]["prob_owl"].min() > 0.5
    weigh(pets, [0])
    ended = foldwise(*WEIGHED)
    assert ended.code == 1 and "data.weights=trust is 0 in all 48 training rows" in ended.err


@pytest.mark.parametrize(
    ("cell", "line"),
    [
        ("-1", "row 3: data.weights=trust has '-1', which is no number of at least 0"),
        ("nan", "row 3: data.weights=trust has 'nan'"),
        ("1e999", "row 3: data.weights=trust has '1e999'"),
        ("much", "row 3: data.weights=trust has 'much'"),
        ("", "row 3: column 'trust' is empty"),
    ],
)
def test_bad_weights_name_their_row(
    foldwise: Callable[..., Ended], pets: Path, cell: str, line: str
) -> None:
    weigh(pets, [1, cell, *[1] * 58])
    ended = foldwise(*WEIGHED)
    assert ended.code == 1 and f"train.csv {line}" in ended.err
    ended = foldwise(*WEIGHED, "data.weights=trusty")
    assert ended.code == 1 and "no such column" in ended.err and "'trust'?" in ended.err


def test_images_without_a_table_have_no_column_of_weights(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    for name, label in pd.read_csv(pets / "train.csv").itertuples(index=False):
        (pets / "train" / label).mkdir(exist_ok=True)
        (pets / "train" / f"{name}.png").rename(pets / "train" / label / f"{name}.png")
    (pets / "train.csv").unlink()
    ended = foldwise(*WEIGHED)
    assert ended.code == 1 and "data.weights=trust: " in ended.err and "train.csv" in ended.err


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "bce", "mse"])
def test_a_mixed_row_weighs_as_both_of_its_rows(name: str) -> None:
    networks, weights = torch.randn(2, 8, 3, generator=torch.manual_seed(0)), torch.arange(8.0)
    targets, pixels = soft_targets(torch.arange(8) % 3, 3), torch.randn(8, 3, 4, 4)
    settings = Augment(mixup=1.0, mix_by="image")
    torch.manual_seed(1)
    share = mix(pixels, torch.eye(8), settings, 0)[1].diagonal()
    torch.manual_seed(1)
    _, mixed, weight = mix_weighted(pixels, targets, weights, settings, 0)
    found, expected = [], []
    for logits in networks:
        found.append(loss_of(Loss(name), logits, mixed, row_weights=weight))
        own = loss_of(Loss(name), logits, targets, row_weights=share * weights)
        other = (1 - share) * weights.roll(1)
        other = loss_of(Loss(name), logits, targets.roll(1, 0), row_weights=other)
        expected.append(own + other)
    if name == "mse":  # but for what no network can change
        found, expected = [found[0] - found[1]], [expected[0] - expected[1]]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
