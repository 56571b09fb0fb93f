"""Albumentations without its traps: what it does not know is an error, and nothing repeats."""

import dataclasses
import random
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldwise.compose import compose
from foldwise.config import PRESETS, Augment, Images
from foldwise.errors import FoldwiseError, UsageError
from foldwise.images.albumentation import transform
from foldwise.images.load import ResidentImages
from foldwise.images.pipeline import Pipeline, ahead, pipeline_of
from foldwise.recipe import recipe_hash
from foldwise.runs import Run
from helpers import CLONE, QUICK, Ended

CPU = torch.device("cpu")
IMAGES = torch.randint(0, 256, (24, 20, 20, 3), dtype=torch.uint8)
LIVELY: list[Any] = [
    {"HorizontalFlip": {"p": 0.5}},
    {"Affine": {"rotate": [-15, 15], "scale": [0.8, 1.2], "p": 1}},
    {"OneOf": {"p": 0.9, "transforms": ["GaussianBlur", {"GaussNoise": {"std_range": [0, 0.1]}}]}},
    {"Cutout": {"holes": 2, "size": 0.2}},
]


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ({"HorizontalFlip": {"prob": 0.9}}, "HorizontalFlip has no argument 'prob'; it has p"),
        ({"GaussNoise": {"var_limit": 0.01}}, "GaussNoise has no argument 'var_limit'"),
        ({"CoarseDropout": {"max_holes": 8}}, "CoarseDropout has no argument 'max_holes'"),
        ({"Affine": {"rotat": 3}}, "no argument 'rotat'; did you mean 'rotate'?"),
        ("HorizontalFlp", "no transform 'HorizontalFlp'; did you mean 'HorizontalFlip'?"),
        ("Image", "there is no transform 'Image'"),
        ("BasicTransform", "there is no transform 'BasicTransform'"),
        ({"HorizontalFlip": {"p": 2}}, r"HorizontalFlip\(p=2\): p: Input should be less than"),
        ({"RandomCrop": None}, "RandomCrop.*height: Field required"),
        ({"HorizontalFlip": 0.5}, "HorizontalFlip: 0.5 is not {argument: value}"),
        ({"A": 1, "B": 2}, "is not a transform; write Name"),
        (3, "3 is not a transform"),
        ({"OneOf": {"transforms": [{"Blur": {"blur": 3}}]}}, "Blur has no argument 'blur'"),
        ({"OneOf": {"transforms": "Blur"}}, "transforms=Blur is not a list"),
        ({"RandAugment": {"ops": 2}}, "RandAugment has no argument 'ops'; it has n, magnitude, p"),
        ({"Cutout": {"num_holes": 4}}, "Cutout has no argument 'num_holes'; did you mean 'holes'"),
        ("Normalize", "makes float32, not uint8 images: leave out Normalize"),
        ("ToTensorV2", "leave out Normalize, ToFloat and ToTensorV2"),
        ({"RandomCrop": {"height": 99, "width": 99}}, "does not work on images of 20 pixels"),
    ],
)
def test_what_albumentations_would_ignore_is_refused(spec: Any, line: str) -> None:
    with pytest.raises(UsageError, match=line) as error:
        pipeline_of(Augment(pipeline=[spec]), Images(size=20), 3, 1)
    assert "\n" not in str(error.value)
    assert "pydantic" not in str(error.value)


def test_arguments_arrive() -> None:
    made = transform({"Affine": {"rotate": [-15, 15], "p": 0.25, "border_mode": 1}})
    assert (made.rotate, made.p, made.border_mode) == ((-15, 15), 0.25, 1)
    inner = transform({"SomeOf": {"n": 2, "transforms": ["CLAHE", {"Blur": {"p": 1}}]}})
    assert [type(part).__name__ for part in inner.transforms] == ["CLAHE", "Blur"]


def test_what_only_the_processor_can_is_refused_on_the_device() -> None:
    for settings in ({"jpeg": 0.5}, {"clahe": 0.5}, {"randaugment": 2}, {"pipeline": ["CLAHE"]}):
        (name,) = settings
        with pytest.raises(UsageError, match=f"augment.{name}=.* works on the CPU only"):
            pipeline_of(Augment(on="device", **settings), Images(size=20), 3, 1)  # type: ignore[arg-type]
        assert pipeline_of(Augment(**settings), Images(size=20), 3, 1)  # type: ignore[arg-type]
    assert pipeline_of(Augment(**PRESETS["heavy"]), Images(size=20), 3, 1) is None
    assert pipeline_of(Augment(on="cpu"), Images(size=20), 3, 1)


SETTINGS: list[Any] = [
    {"pipeline": LIVELY}, {"randaugment": 2}, {"jpeg": 1.0}, {"clahe": 1.0},
    {"on": "cpu", **PRESETS["light"]}, {"on": "cpu", **PRESETS["heavy"]},
    {"on": "cpu", "scales": [0.8, 1.0, 1.2], "rotate90": 0.5, "vflip": 0.5, "crop": 0.5},
]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: " ".join(s)[:20])
def test_every_setting_works_on_every_kind_of_image(settings: Any, channels: int) -> None:
    pipeline = pipeline_of(Augment(**settings), Images(size=48), channels, 1)
    assert pipeline
    image = np.random.default_rng(0).integers(60, 200, (48, 48, channels)).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = [pipeline(image, (0, 0, 0, row)) for row in range(8)]
    assert all((r.shape, r.dtype) == (image.shape, np.uint8) for r in results)
    assert any((r != image).any() for r in results)
    again = [pipeline(image, (0, 0, 0, row)) for row in range(8)]
    assert all(np.array_equal(*pair) for pair in zip(results, again, strict=True))
    assert len({r.tobytes() for r in results}) > 1


def test_stacked_images_are_augmented_alike() -> None:
    one = IMAGES[0].numpy()
    pipeline = Pipeline(Augment(pipeline=LIVELY[:2]), Images(size=20), 6, 1)
    result = pipeline(np.concatenate([one, one], axis=2), (0, 0, 0, 0))
    assert np.array_equal(result[:, :, :3], result[:, :, 3:])
    assert not np.array_equal(result[:, :, :3], one)


def augmented(key: tuple[int, int, int], workers: int, size: int = 5) -> torch.Tensor:
    parts = np.array_split(np.random.default_rng(1).permutation(24), -(-24 // size))
    pipeline = Pipeline(Augment(pipeline=LIVELY), Images(size=20), 3, workers)
    batches = pipeline.batches(ResidentImages(IMAGES).batches(parts), parts, key, CPU)
    return torch.cat(list(batches))[np.argsort(np.concatenate(parts))]


def test_threads_and_batches_change_nothing() -> None:
    before = IMAGES.clone()
    one = augmented((0, 0, 0), workers=1)
    assert torch.equal(one, augmented((0, 0, 0), workers=4))
    assert torch.equal(one, augmented((0, 0, 0), workers=3, size=24))
    assert torch.equal(IMAGES, before)


def test_nothing_repeats_over_seeds_folds_epochs_and_rows() -> None:
    """One image in every place: whoever shared its random numbers would show the same picture."""
    image, pipeline = (
        IMAGES[0].numpy(),
        Pipeline(Augment(pipeline=LIVELY[1:2]), Images(size=20), 3, 1),
    )
    keys = [(s, f, e, r) for s in range(3) for f in range(3) for e in range(3) for r in range(10)]
    assert len({pipeline(image, key).tobytes() for key in keys}) == len(keys)


def test_the_global_generators_are_left_alone_and_decide_nothing() -> None:
    pipeline, image = Pipeline(Augment(pipeline=LIVELY), Images(size=20), 3, 1), IMAGES[0].numpy()
    results = []
    for seed in (1, 2):
        np.random.seed(seed)
        random.seed(seed)
        torch.manual_seed(seed)
        results.append(pipeline(image, (0, 0, 0, 0)))
    assert np.array_equal(*results)
    assert random.random() == random.Random(2).random()


def test_a_size_that_changes_is_changed_back() -> None:
    crop = Pipeline(
        Augment(pipeline=[{"CenterCrop": {"height": 10, "width": 10}}]), Images(size=20), 3, 1
    )
    assert crop(IMAGES[0].numpy(), (0, 0, 0, 0)).shape == (20, 20, 3)


def test_what_is_made_ahead_is_the_same_and_its_errors_arrive() -> None:
    items = [torch.tensor(n) for n in range(10)]
    assert [int(item) for item in ahead(iter(items), 3)] == list(range(10))

    def breaks() -> Any:
        yield items[0]
        raise FoldwiseError("broken")

    with pytest.raises(FoldwiseError, match="broken"):
        list(ahead(breaks(), 3))


def test_a_preset_fills_what_is_left_alone(tmp_path: Path) -> None:
    assert compose([]).augment == Augment()
    light = compose(["augment.preset=light", "augment.hflip=0", "augment.rotate=5"]).augment
    assert (light.hflip, light.rotate, light.brightness) == (0, 5, 0.1)
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("augment: {preset: light, shift: 0.3}\n")
    heavy = compose([f"config={recipe}", "augment.preset=heavy"]).augment
    assert (heavy.shift, heavy.blur) == (0.3, PRESETS["heavy"]["blur"])
    assert compose(["augment.preset=none"]).augment.shift == 0
    alone = compose(["augment.pipeline=[{HorizontalFlip: {p: 0.5}}, CLAHE]"]).augment
    assert (alone.shift, alone.pipeline) == (0, [{"HorizontalFlip": {"p": 0.5}}, "CLAHE"])


def test_a_preset_is_its_settings_to_the_recipe_hash() -> None:
    words = [f"augment.{key}={value}" for key, value in PRESETS["medium"].items()]
    assert recipe_hash(compose(words)) == recipe_hash(compose(["augment.preset=medium"]))
    assert recipe_hash(compose(["augment.preset=light"])) != recipe_hash(compose([]))


@pytest.mark.parametrize(
    ("word", "texts"),
    [
        ("augment.pipeline=[{HorizontalFlip: {prob: 0.9}}]", ("'prob'", "it has p")),
        ("augment.pipeline=[Cutuot]", ("'Cutuot'", "'Cutout'")),
        ("augment.scales=[0.8, 100]", ("augment.scales", "100")),
    ],
)
def test_wrong_words_end_with_exit_code_2(
    foldwise: Callable[..., Ended], pets: Path, word: str, texts: tuple[str, ...]
) -> None:
    ended = foldwise("competition=pets", *QUICK, word, "run=wrong")
    assert ended.code == 2, ended.err
    line = ended.err.splitlines()[-1]
    assert line.startswith("foldwise: ")
    assert all(text in line for text in texts), line
    assert not Run("wrong").folder.exists()


def test_the_run_and_its_continuation_see_the_same(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    """A run with everything at once: its config reads back, and the same again is the same."""
    words = ("competition=pets", *QUICK, "fold=0", "augment.pipeline=[CLAHE]",
             "augment.preset=medium", "augment.mixup=0.2", "augment.cutmix=1")  # fmt: skip
    for name, threads in (("a", 1), ("b", 3)):
        ended = foldwise(*words, f"run={name}", f"images.workers={threads}")
        assert ended.code == 0, ended.err
        assert "augmentation: pipeline on the CPU, the rest on the device" in ended.err
    one, two = (Run(name).fold_folder(0) / "oof.parquet" for name in ("a", "b"))
    assert one.read_bytes() == two.read_bytes()
    assert Run("a").config().augment.pipeline == ["CLAHE"]


GUIDE = (CLONE / "docs" / "augmentation.md").read_text(encoding="utf-8")


def test_the_guide_says_exactly_what_the_presets_are() -> None:
    for name, values in PRESETS.items():
        row = re.search(rf"^\| `{name}` \| (.*) \|$", GUIDE, re.MULTILINE)
        assert row, name
        words = " ".join(f"{key}={value:g}" for key, value in values.items())
        assert row[1] == (f"`{words}`" if values else row[1])
        assert values or row[1].startswith("nothing")


def test_the_guide_names_every_setting() -> None:
    for item in dataclasses.fields(Augment):
        assert re.search(rf"`[^`]*\b{item.name}\b[^`]*`", GUIDE), item.name


def test_the_guides_pipeline_works(tmp_path: Path) -> None:
    recipe = tmp_path / "guide.yaml"
    recipe.write_text(re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[0])
    config = compose([f"config={recipe}"])
    assert len(config.augment.pipeline) == 12
    pipeline = pipeline_of(config.augment, Images(size=224), 3, 1)
    assert pipeline
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    assert pipeline(image, (0, 0, 0, 0)).shape == image.shape
