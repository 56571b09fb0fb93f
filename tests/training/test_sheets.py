"""`images`: what is shown is what training and prediction have, and nothing else is touched."""

import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from foldwise.tiles import Strip
from foldwise.training import loop, sheets, step
from helpers import Ended, write_competition

HEAVY = ("augment.preset=heavy", "augment.cutmix=1", "augment.jpeg=0.3", "train.batch_size=16",
         "augment.pipeline=[{HorizontalFlip: {p: 0.2}}]", "augment.mix_by=image")  # fmt: skip
PETS = ("competition=pets", "tta=flip")  # the views of one set are drawn faster than of all
NAMES = ["labels.png", "augmentation.png", "batches.png", "views.png"]

Drawn = dict[str, list[Strip]]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Drawn:
    """What the sheets show, by the last words of their titles."""
    found: Drawn = {}

    def kept(title: str, note: str, strips: list[Strip]) -> bytes:
        found[title.rsplit(maxsplit=1)[-1]] = strips
        return real(title, note, strips)

    real = sheets.picture
    monkeypatch.setattr(sheets, "picture", kept)
    return found


def captions(strip: Strip) -> set[str]:
    return {tile.caption for tile in strip.tiles}


def test_four_sheets_and_nothing_else(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    before = set(home.rglob("*"))
    ended = foldwise("images", *PETS, *HEAVY)
    assert ended.code == 0, ended.err
    assert [Path(line).name for line in ended.out.split()] == NAMES
    made = set(home.rglob("*")) - before
    assert made == {pets / "sheets", *(pets / "sheets" / name for name in NAMES)}
    pages = [(pets / "sheets" / name).read_bytes() for name in NAMES]
    for page in pages:
        image = cv2.imdecode(np.frombuffer(page, np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[1] <= 1480 and image.std() > 20
    assert foldwise("images", *PETS, *HEAVY).code == 0
    assert pages == [(pets / "sheets" / name).read_bytes() for name in NAMES]
    assert foldwise("images", *PETS, *HEAVY, "seed=1").code == 0
    assert pages[2] != (pets / "sheets" / "batches.png").read_bytes()


def test_the_batches_are_those_of_the_training(
    foldwise: Callable[..., Ended], pets: Path, drawn: Drawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def kept(*arguments: object) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        seen.append(real(*arguments))  # type: ignore[arg-type]
        undone.append(arguments[1].normalize.undone(seen[-1][0]).numpy())  # type: ignore
        return seen[-1]

    undone: list[np.ndarray] = []
    real = step.prepared
    for module in (step, loop):  # the training and the sheets
        monkeypatch.setattr(module, "prepared", kept)
    words = ("competition=pets", *HEAVY, "fold=2", "model.args={widths: [4]}", "train.epochs=2")
    assert foldwise(*words).code == 0
    assert len(seen) == 6
    assert foldwise("images", *words).code == 0
    strips = drawn["them"]
    titles = [f"epoch {epoch}, step {step}" for epoch, step in ((1, 1), (1, 2), (1, 3), (2, 1))]
    assert [strip.title for strip in strips] == titles
    for strip, pixels, (_, targets, _) in zip(strips, undone, seen, strict=False):
        for tile, image, target in zip(strip.tiles, pixels, targets, strict=False):
            assert np.array_equal(tile.image, image)
            found = re.findall(r"([a-z]+)(?:\u00a0(\.\d\d))?", tile.caption)
            said = {name: float(share or 1) for name, share in found}
            for name, share in zip(("cat", "dog", "owl"), target.tolist(), strict=True):
                assert said.get(name, 0) == pytest.approx(share, abs=0.0051)


def test_one_image_in_many_ways(foldwise: Callable[..., Ended], pets: Path, drawn: Drawn) -> None:
    words = ("competition=pets", "augment.hflip=0.3", "augment.shift=0", "augment.rotate90=0.1")
    ended = foldwise("images", *words, "tta=d4", "augment.noise=0.1", "augment.noise_std=0")
    assert ended.code == 0, ended.err
    alone, together = drawn["augmentation"]
    plain, flipped, turned, noise = alone.tiles
    assert np.array_equal(flipped.image, plain.image[:, ::-1]) and flipped.caption == "hflip=0.3"
    assert any(np.array_equal(turned.image, np.rot90(plain.image, n)) for n in (1, 2, 3))
    assert noise.detail == "changes nothing here" and len(together.tiles) == 16
    (views,) = drawn["time"]
    assert [tile.caption for tile in views.tiles][:2] == ["plain", "hflip"]
    assert np.array_equal(views.tiles[0].image, plain.image)
    assert np.array_equal(views.tiles[1].image, plain.image[:, ::-1])

    assert foldwise("images", *words).code == 0
    assert [strip.title for strip in drawn["time"]][:2] == ["tta=flip", "tta=flips"]
    assert foldwise("images", *PETS, "augment.preset=none").code == 0
    assert len(drawn["augmentation"]) == 1
    pipeline = "Resize: {height: 20, width: 20}}, {RandomCrop: {height: 16, width: 16}"
    words = (f"augment.pipeline=[{{{pipeline}}}, {{InvertImg: {{p: 0.1}}}}]",)
    ended = foldwise("images", *PETS, *words)
    assert ended.code == 0, ended.err
    plain, _, crop, inverted = drawn["augmentation"][0].tiles
    assert crop.detail == "height=16 width=16"  # of the 20 pixels that Resize makes
    assert np.array_equal(inverted.image, 255 - plain.image)


def test_labels_of_all_kinds(foldwise: Callable[..., Ended], pets: Path, drawn: Drawn) -> None:
    assert foldwise("images", *PETS).code == 0
    (strip,) = drawn["images"]
    assert [tile.caption for tile in strip.tiles] == ["cat"] * 16 + ["dog"] * 16 + ["owl"] * 16
    train = pd.read_csv(pets / "train.csv", dtype=str)
    labels = train.set_index("id")["label"]
    assert all(labels[tile.detail] == tile.caption for tile in strip.tiles)
    for name in ("sample_submission.csv", "solution.csv"):
        (pets / name).unlink()
    place = train["label"].map({"cat": 0, "dog": 1, "owl": 2})
    several = {"cat": "cat", "dog": "a very long name", "owl": "cat|a very long name"}
    train.assign(label=train["label"].map(several)).to_csv(pets / "train.csv", index=False)
    assert foldwise("images", *PETS, "augment.mixup=1").code == 0
    assert captions(drawn["images"][0]) == {
        "cat",
        "a very long name",
        "a\u00a0very\u00a0l…\u00a0name, cat",
    }
    numbers = train.drop(columns="label").assign(x=place * 2.5, y=-1000.0 * place)
    numbers.to_csv(pets / "train.csv", index=False)
    words = (*PETS, "competition.columns.label=x,y")
    assert foldwise("images", *words, "augment.mixup=1").code == 0
    wanted = {"x\u00a00, y\u00a00", "x\u00a02.5, y\u00a0-1000", "x\u00a05, y\u00a0-2000"}
    assert captions(drawn["images"][0]) == wanted
    assert foldwise("images", *words, "augment.cutmix=1").code == 2


def test_sheets_are_no_images_of_the_competition(
    foldwise: Callable[..., Ended], home: Path
) -> None:
    """A folder a class: the sheets' own folder is none."""
    source = write_competition(home / "source", rows=30)
    for name, label in pd.read_csv(source / "train.csv").itertuples(index=False):
        folder = home / "input" / "shots" / label
        folder.mkdir(parents=True, exist_ok=True)
        (source / "train" / f"{name}.png").rename(folder / f"{name}.png")
    for _ in range(2):
        ended = foldwise("images", "competition=shots", "tta=flip")
        assert ended.code == 0, ended.err
        assert "multiclass, 3 classes" in ended.err and "train: 30 rows" in ended.err


def test_wrong_words_and_broken_images(foldwise: Callable[..., Ended], pets: Path) -> None:
    for words, code, text in (
        (("pakc",), 2, "did you mean 'pack'?"),
        (("augment.jpeg=0.5", "augment.on=device"), 2, "works on the CPU only"),
        (("augment.pipeline=[HorizontalFlop]",), 2, "did you mean 'HorizontalFlip'"),
        (("tta=flop",), 2, "there is no view 'flop'"),
        (("fold=7",), 2, "out of range"),
    ):
        ended = foldwise("images", *words[:1], "competition=pets", *words[1:])
        assert ended.code == code and text in ended.err.splitlines()[-1]
    for path in (pets / "train").iterdir():
        path.write_bytes(b"no image")
    ended = foldwise("images", "competition=pets", "images.size=8")
    assert ended.code == 1 and "is no image" in ended.err.splitlines()[-1]
    assert not (pets / "sheets").exists()
