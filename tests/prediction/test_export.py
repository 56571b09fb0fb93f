"""ONNX files predict what torch does, on real images, for any number of them."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from sklearn.datasets import load_sample_images

from foldwise.config import Config
from foldwise.models.listing import ours
from foldwise.models.outputs import keep_scale
from foldwise.prediction.fold_model import FoldModel, network_of
from foldwise.prediction.graph import largest_difference, onnx_bytes, whole_of
from foldwise.provenance import read_table
from foldwise.runs import Run
from helpers import QUICK, Ended

pytest.importorskip("onnxscript", reason="export's packages are missing: pip install onnxscript")
pytest.importorskip("onnxruntime", reason="and pip install onnxruntime")

TIMM = ["resnet18", "mobilenetv3_small_050", "efficientnet_b0", "convnext_atto",
        "vit_tiny_patch16_224"]  # fmt: skip
OURS = [name for name in timm.list_models() if ours(name)]


def crops(side: int) -> torch.Tensor:
    """uint8 (6, side, side, 3): parts of the two photographs that scikit-learn carries."""
    photos = load_sample_images().images
    parts = [photo[:400, left : left + 400] for photo in photos for left in (0, 120, 240)]
    return torch.from_numpy(np.stack([cv2.resize(part, (side, side)) for part in parts]))


def model_of(name: str, side: int) -> FoldModel:
    """With statistics of these very images, and logits as they are."""
    config = Config()
    config.competition.task, config.competition.classes = "regression", list("abcde")
    config.loss.name, config.model.name, config.model.in_chans = "mse", name, 3
    config.images.size = side
    torch.manual_seed(0)
    built, normalize = network_of(config, torch.device("cpu"))
    keep_scale(built.network, torch.zeros(5), torch.ones(5))
    with torch.no_grad():
        for _ in range(3):
            built.network.train()(normalize(crops(side)))
    return FoldModel(config, built.network.eval(), normalize, torch.device("cpu"))


def check(name: str, side: int) -> None:
    model = model_of(name, side)
    images = model.normalize(crops(side)).contiguous()
    with torch.inference_mode():
        before = model.network(images)
    whole = whole_of([model])
    with torch.inference_mode():
        torch.testing.assert_close(whole(images), before, rtol=1e-4, atol=1e-5)
    data = onnx_bytes(whole, images[:2])
    assert largest_difference(whole, data, images) <= 1e-4
    spoiled = Spoiled([model])
    assert largest_difference(spoiled, data, images) > 1e-4


class Spoiled(torch.nn.Module):
    """The same network with one weight moved: the check must notice."""

    def __init__(self, models: list[FoldModel]) -> None:
        super().__init__()
        self.whole = whole_of(models)
        self.networks = self.whole.networks

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.whole(images) * 1.01 + 0.01


@pytest.mark.parametrize(("name", "side"), [("convnet2", 28), ("resnet18", 32)])
def test_a_model_of_ours_and_one_of_timms(name: str, side: int) -> None:
    check(name, side)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*OURS, *TIMM])
def test_every_model_of_ours_and_five_of_timms(name: str) -> None:
    check(name, 224 if name.endswith("_224") else 64)


@pytest.mark.parametrize("task", ["multiclass", "ordinal"])
def test_a_runs_folds_and_their_mean(
    task: str, foldwise: Callable[..., Ended], pets: Path, tmp_path: Path
) -> None:
    import onnxruntime

    if task != "multiclass":
        for name in ("sample_submission.csv", "solution.csv"):
            (pets / name).unlink()
        train = pd.read_csv(pets / "train.csv", dtype=str)
        train["label"] = train["label"].map({"cat": 0, "dog": 1, "owl": 2})
        train.to_csv(pets / "train.csv", index=False)
    words = ("competition=pets", "run=r", "folds.k=2", f"competition.task={task}", *QUICK)
    words = (*words, "train.precision=fp32", "tta=none", "train.save_every=2")
    seen = ("images.size=10", "images.crop_pct=0.8") if task == "ordinal" else ()
    assert foldwise(*words, *seen).code == 0
    run = Run("r")
    ended = foldwise("export", "run=r")
    assert ended.code == 0, ended.err
    ended = foldwise("export", "run=r", "mean=true", f"out={tmp_path / 'out'}")
    assert ended.code == 0, ended.err
    said = json.loads((tmp_path / "out" / "preprocessing.json").read_text())
    test, _ = run.test_table()
    shape = said["input"]["shape"][1:]
    files = [pets / "test" / f"{name.removesuffix('.png')}.png" for name in test["id"]]
    pixels = [cv2.imread(str(file))[..., ::-1] for file in files]
    if seen:  # 10 of the 12 pixels that these files have
        assert "take the middle 10 x 10 pixels" in said["steps"]
        pixels = [image[1:11, 1:11] for image in pixels]
    pixels = [cv2.resize(image, (said["size"], said["size"])) for image in pixels]
    images = (np.stack(pixels) / 255 - said["mean"]) / said["std"]
    images = images.transpose(0, 3, 1, 2).astype(np.float32)
    assert list(images.shape[1:]) == shape and said["classes"] == run.config().competition.classes

    def predicted(path: Path) -> np.ndarray:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run([said["output"]["name"]], {said["input"]["name"]: images})[0]

    values = test.drop(columns="id").to_numpy()
    np.testing.assert_allclose(predicted(tmp_path / "out" / "mean.onnx"), values, 1e-4, 1e-5)
    for fold in (0, 1):
        wanted = read_table(run.table(fold, "test"))[0].drop(columns="id")
        found = predicted(run.export_folder / f"fold{fold}.onnx")
        np.testing.assert_allclose(found, wanted, 1e-4, 1e-5)
    assert {p.name for p in run.export_folder.iterdir()} == {
        "fold0.onnx", "fold1.onnx", "preprocessing.json"
    }  # fmt: skip
    if task == "multiclass":
        assert foldwise("export", "run=r", "fold=0", "epoch=2").code == 0
        folder = run.export_folder / "epoch002"  # the last
        assert (folder / "fold0.onnx").read_bytes() == (
            run.export_folder / "fold0.onnx"
        ).read_bytes()
        assert json.loads((folder / "preprocessing.json").read_text())["epoch"] == 2
    ended = foldwise("export", "run=r", "fold=2")
    assert ended.code == 2 and "out of range" in ended.err


def test_without_the_packages_a_line_says_what_to_install(
    foldwise: Callable[..., Ended], pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert foldwise("competition=pets", "run=r", "fold=0", *QUICK).code == 0
    monkeypatch.setattr("foldwise.prediction.graph.WANTED", ("onnx", "no_such_package"))
    ended = foldwise("export", "run=r")
    assert ended.code == 1 and ended.err.endswith("pip install no_such_package\n")
    assert not Run("r").export_folder.exists()
