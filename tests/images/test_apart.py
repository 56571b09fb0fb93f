"""Every augmentation by itself: nothing else happens, and it happens to every image."""

import dataclasses

import numpy as np
import torch

from foldwise.compose import compose
from foldwise.config import Augment, Images
from foldwise.images.apart import SETTINGS, parts_of
from foldwise.images.augment import augment
from foldwise.images.pipeline import Pipeline, pipeline_of

HOW = {"preset", "on", "pipeline", "border", "mix_by", "mix_both"}  # and not what


def test_no_setting_is_forgotten() -> None:
    names = {field.name for field in dataclasses.fields(Augment)}
    assert names == {*SETTINGS, *(more for said in SETTINGS.values() for more in said), *HOW}
    assert parts_of(Augment(shift=0.0)) == []


def test_each_happens_alone_and_always() -> None:
    settings = compose(["augment.preset=heavy", "augment.rotate90=0.2", "augment.cutmix=1"]).augment
    torch.manual_seed(0)
    images = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8).expand(40, -1, -1, -1)
    parts = {part.name: part for part in parts_of(settings)}
    assert list(parts)[:3] == ["downscale=0.1", "hflip=0.5", "rotate90=0.2"]
    flipped = augment(images, parts["hflip=0.5"].settings)
    assert torch.equal(flipped, images.flip(2))
    turned = augment(images, parts["rotate90=0.2"].settings)
    turns = [images[0].rot90(n, (0, 1)) for n in (1, 2, 3)]
    assert all(any(torch.equal(one, turn) for turn in turns) for one in turned)
    bright = augment(images, parts["brightness=0.3"].settings)
    assert len(bright.flatten(1).unique(dim=0)) > 30
    for name in ("cutout=0.3", "erase=0.3", "noise=0.2", "perspective=0.2"):
        changed = augment(images, parts[name].settings) != images
        assert changed.flatten(1).any(1).sum() >= 39, name
    assert parts["cutout=0.3"].detail == "cutout_holes=4 cutout_size=0.25"
    assert parts["perspective=0.2"].detail == "perspective_prob=0.3"
    assert parts["rotate=20"].detail == "" and parts["cutmix=1"].varied


def test_transforms_of_a_pipeline() -> None:
    settings = compose(
        ["augment.pipeline=[{HorizontalFlip: {p: 0.1}}, {Resize: {height: 32, width: 32}}, "
         "{RandomCrop: {height: 24, width: 24}}, {OneOf: {transforms: [Blur, {ToGray: {p: 1}}]}}]",
         "augment.jpeg=0.1"]
    ).augment  # fmt: skip
    flip, _, crop, one, jpeg = parts_of(settings)
    assert (flip.name, flip.detail) == ("HorizontalFlip", "p=0.1")
    assert (one.name, one.detail) == ("OneOf", "transforms=Blur, ToGray")
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for row in range(5):
        always = Pipeline(flip.settings, Images(size=16), 3, 1)(image, (0, 0, 0, row))
        assert np.array_equal(always, image[:, ::-1])
    assert crop.after is not None and len(crop.after.pipeline) == 2  # a crop of what Resize makes
    assert pipeline_of(crop.after, Images(size=16), 3, 1) is not None
    assert jpeg.settings.jpeg == 1 and not jpeg.settings.pipeline
