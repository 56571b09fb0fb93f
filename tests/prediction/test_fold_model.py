"""A network is loaded from the run and fold that it belongs to, and from no other."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from foldwise.compose import to_yaml
from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError
from foldwise.images.load import ResidentImages
from foldwise.prediction.fold_model import FoldModel, load_fold, network_of
from foldwise.provenance import read_table
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from helpers import QUICK, Ended

CPU = torch.device("cpu")
WORDS = ("competition=pets", *QUICK, "fold=0..1")


def load(name: str, fold: int) -> FoldModel:
    return load_fold(Run(name), fold, CPU)[0]


def test_a_loaded_network_predicts_and_does_not_learn(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    assert foldwise(*WORDS, "run=r").code == 0
    model = load("r", 1)
    images = ResidentImages(torch.randint(0, 256, (9, 12, 12, 3), dtype=torch.uint8))
    counted: list[int] = []
    probs = model(images, np.arange(9), advance=counted.append)
    assert (probs.dtype, probs.shape, sum(counted)) == (np.float32, (9, 3), 9)
    assert not model.network.training
    assert not any(weight.requires_grad for weight in model.network.parameters())
    assert load_fold(Run("r"), 1, CPU)[1].held_out == [1]


def test_weights_of_another_fold_or_recipe_and_damaged_ones_are_refused(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    assert foldwise(*WORDS, "run=r").code == 0
    assert foldwise(*WORDS, "run=other", "optimizer.lr=0.1").code == 0
    run, file = Run("r"), Run("r").model_file(0)
    own = file.read_bytes()

    def refused(data: bytes, text: str) -> None:
        file.write_bytes(data)
        with pytest.raises(FoldwiseError, match=text) as caught:
            load("r", 0)
        assert "\n" not in str(caught.value) and "model.safetensors" in str(caught.value)

    refused(run.model_file(1).read_bytes(), "not the network that made the tables")
    refused(Run("other").model_file(0).read_bytes(), "another recipe")
    for size in (0, 5, 1000, len(own) - 1):
        refused(own[:size], "cannot be read")
    refused(b"PK\3\4" + own, "cannot be read")
    file.unlink()
    with pytest.raises(FoldwiseError, match="no such file"):
        load("r", 0)
    file.write_bytes(own)
    table = run.table(0, "oof").read_bytes()
    other_split = replace(run.provenance(0), folds_hash="another")
    run.write_predictions(0, "oof", read_table(run.table(0, "oof"))[0], other_split)
    refused(own, "not the network that made the tables")
    run.table(0, "oof").unlink()
    load("r", 0)  # weights alone are enough
    run.table(0, "oof").write_bytes(table)
    load("r", 0)
    text = run.config_file.read_text()
    run.config_file.write_text(text.replace("widths:\n    - 8", "widths:\n    - 16"))
    with pytest.raises(FoldwiseError, match="another recipe"):
        load("r", 0)


def test_a_run_of_a_machine_with_a_gpu_predicts_on_this_one(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    assert foldwise("competition=pets", *QUICK, "fold=0", "run=r", "train.precision=fp32").code == 0
    run = Run("r")
    config = run.config()
    config.train.precision, config.train.device = "fp16", "cuda"
    tensors, origin = run.model(0)
    there = replace(origin, recipe_hash=recipe_hash(config))
    table, _ = read_table(run.table(0, "oof"))
    run.config_file.write_text(to_yaml(config))
    for part in ("oof", "test"):
        run.write_predictions(0, part, read_table(run.table(0, part))[0], there)
    run.write_model(0, tensors, there)
    ended = foldwise("predict", "run=r", "tta=none")
    assert ended.code == 0, ended.err
    again, _ = read_table(run.table(0, "oof", "none"))
    np.testing.assert_allclose(again["prob_cat"], table["prob_cat"], atol=0.01)


@pytest.mark.parametrize(
    ("key", "said", "scale"), [("std", [0.25], [4, 4, 4]), ("std", [0.5, 0.25, 1.0], [2, 4, 1])]
)
def test_normalisation_as_it_is_said(key: str, said: list[float], scale: list[float]) -> None:
    config = Config()
    config.model.name, config.model.in_chans, config.images.size = "convnet2", 3, 8
    config.loss.name, config.competition.classes = "cross_entropy", ["a", "b"]
    config.images.mean = [0.0]
    setattr(config.images, key, said)
    _, normalize = network_of(config, CPU)
    pixels = normalize(torch.full((1, 8, 8, 3), 255, dtype=torch.uint8))
    assert pixels[0, :, 0, 0].tolist() == pytest.approx(scale)
    for wrong in ([0.1, 0.2], [float("nan")], [0.0], [58.4, 57.1, 57.4]):
        setattr(config.images, key, wrong)
        with pytest.raises(UsageError, match=r"images\.std=\["):
            network_of(config, CPU)
