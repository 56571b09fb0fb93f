"""`./run.sh images`: sheets of training images, augmentations, batches and views.

Everything goes the way that training and prediction go. Nothing is trained, no split is frozen.
"""

import itertools
import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from foldwise import compose
from foldwise.competition import layout
from foldwise.competition.corrections import training_targets
from foldwise.competition.folder import place_to_write
from foldwise.competition.folds import frozen_folds
from foldwise.competition.layout import CompetitionData
from foldwise.config import Augment, Config
from foldwise.device import pick_device, prepare
from foldwise.errors import FoldwiseError
from foldwise.files import write_bytes
from foldwise.images.apart import Part, parts_of
from foldwise.images.decode import find_broken, threads
from foldwise.images.load import ResidentImages, open_images
from foldwise.images.pipeline import pipeline_of
from foldwise.images.window import decode_side, middle
from foldwise.prediction.fold_model import network_of
from foldwise.prediction.sources import decide_look
from foldwise.prediction.tta import views_of
from foldwise.prediction.views import PARTS, SETS, canonical
from foldwise.runs import Run
from foldwise.tiles import Strip, Tile, arrangement, picture
from foldwise.training.decide import decide, near_duplicates, pipeline_for, refuse_unfit
from foldwise.training.loop import epoch_steps, epochs_of, seen
from foldwise.training.material import Job, Material, fold_rows, material_of, scale_of

ACROSS, DOWN = 8, 6  # tiles of the sheet of labels
BATCHES = 4
DRAWS = 32  # of an augmentation, of which one is shown
PIXELS = 2**21  # in all draws together: large images get fewer


@dataclass(frozen=True)
class Example:
    """A fold as it would be trained, with one of its rows to be shown in many ways."""

    job: Job
    material: Material
    row: int
    image: Tensor  # uint8 (1, size, size, channels)
    other: Tensor  # one to be mixed with it

    def undone(self, pixels: Tensor) -> np.ndarray:
        """What the network sees as uint8 (batch, size, size, channels)."""
        return self.material.normalize.undone(pixels).cpu().numpy()


def write_sheets(config: Config) -> list[Path]:
    """Write labels, augmentation, batches and views.png into input/<competition>/sheets/.

    Earlier ones are replaced. Returns their paths. ``fold`` says whose rows (its first), ``seed``
    which of them. Raises FoldwiseError and UsageError where training would.
    """
    data = layout.load(config)
    print("\n".join(data.said), file=sys.stderr)
    example = _example(config, data)
    folder, paths = place_to_write(data.folder) / "sheets", []
    for draw in (labels, augmentation, batches, views):
        paths.append(folder / f"{draw.__name__}.png")
        write_bytes(paths[-1], draw(example))
    return paths


def _example(config: Config, data: CompetitionData) -> Example:
    """As `train` prepares it, but that only the images that are shown are decoded."""
    split = frozen_folds(data, config, partial(near_duplicates, data, config), freeze=False)
    fold, device = compose.parse_folds(config.fold, split.k)[0], pick_device(config.train.device)
    decide(config, data, split, device)
    mended = training_targets(data, config.competition)
    refuse_unfit(config)
    pipeline = pipeline_for(config)
    prepare(config.train, device)
    place = torch.device("cpu") if pipeline else device
    files, look = data.train["file"].tolist(), decide_look(config, data)
    workers, broken = threads(config.images.workers), dict[str, str]()
    if config.images.broken == "prior":
        broken = find_broken(files, workers, data.folder / ".images-decode")
    usable = np.array([path not in broken for path in files], bool)
    files = [path if good else "" for path, good in zip(files, usable, strict=True)]
    images = open_images(files, look, place, workers, resident_gb=0)
    job = Job(
        config, Run(config.run), data, split, device, mended,
        images=images, usable=usable,
        test_images=None, test_rows=np.arange(0), pipeline=pipeline,
    )  # fmt: skip
    _, normalize = network_of(config, device, first_weights=False)
    material = material_of(job, fold, fold_rows(job, fold)[0], normalize)
    rows = np.random.default_rng(config.seed).permutation(material.rows)[:2]
    both = next(iter(images.batches([rows])))
    return Example(job, material, int(rows[0]), both[:1], both[-1:])


def labels(example: Example) -> bytes:
    """Training images with what they are trained to be: of every class some, or spread evenly."""
    job, config = example.job, example.job.config
    rows = _spread(config, job.mended.values, np.flatnonzero(job.mended.kept & job.usable))
    images = next(iter(job.images.batches([rows]))).cpu().numpy()
    said = [_said(example, example.material.targets[int(row)]) for row in rows]
    ids = job.data.train["id"].iloc[rows]
    tiles = [Tile(*one) for one in zip(images, said, ids, strict=True)]
    side = decode_side(config.images)
    note = f"{len(rows):,} of {job.mended.kept.sum():,}, decoded at {side} pixels"
    return _picture(example, "training images", note, [Strip(tiles)])


def augmentation(example: Example) -> bytes:
    """One image under each setting alone, and under all of them together."""
    config, image = example.job.config, example.image
    settings = replace(config.augment, mixup=0.0, cutmix=0.0)
    cropped = middle(image, config.images)
    untouched = Tile(cropped[0].cpu().numpy(), "as it is", _id(example, example.row))
    strips = [Strip([untouched, *(_alone(example, part) for part in parts_of(config.augment))])]
    if parts_of(settings):
        _, together = _drawn(example, settings, image.expand(2 * ACROSS, -1, -1, -1))
        title = "all together" if settings == config.augment else "all together, before mixing"
        strips.append(Strip([Tile(one) for one in together], title))
    note = "each setting alone, the strongest of some draws, with what else is set for it"
    if not parts_of(config.augment):
        note = "nothing is asked for; try augment.preset=medium"
    return _picture(example, "augmentation", note, strips)


def batches(example: Example) -> bytes:
    """The first images of the first batches, as the network sees them, with their soft labels."""
    config, material = example.job.config, example.material
    steps = epoch_steps(len(material.rows), config)
    training = (
        (f"epoch {epoch + 1}, step {step + 1}", part)
        for epoch in range(epochs_of(config))
        for step, part in enumerate(seen(config, material, epoch, steps))
    )
    strips = []
    for title, (rows, pixels, targets) in itertools.islice(training, BATCHES):
        shown = zip(example.undone(pixels[:ACROSS]), targets, rows, strict=False)
        tiles = [Tile(one, _said(example, target), _id(example, n)) for one, target, n in shown]
        strips.append(Strip(tiles, title))
    size = min(config.train.batch_size, len(material.rows))
    note = f"fold {material.fold}, batches of {size:,}; under each image what the network is to say"
    return _picture(example, "batches as the network sees them", note, strips)


def views(example: Example) -> bytes:
    """The views of ``tta`` by name; all sets of views where it asks for none."""
    config = example.job.config
    setting, size = config.tta.views, config.images.size
    sets = [setting] if canonical(setting, size) != "none" else [*SETS, *PARTS][1:]
    image, normalize = example.image.to(example.job.device), example.material.normalize
    strips = []
    for name in sets:
        tiles = [
            Tile(example.undone(normalize(middle(view(image), config.images)))[0], key)
            for key, view in views_of(name, size).items()
        ]
        strips.append(Strip(tiles, f"tta={name}"))
    return _picture(example, "views at test time", f"image {_id(example, example.row)}", strips)


def _picture(example: Example, title: str, note: str, strips: list[Strip]) -> bytes:
    channels = arrangement(example.image.shape[3])
    name = example.job.data.folder.name
    return picture(f"{name}: {title}", f"{note}; {channels}" if channels else note, strips)


def _alone(example: Example, part: Part) -> Tile:
    """One augmentation by itself: of some draws the one that changes the image most."""
    seen, cuts = example.job.config.images, part.settings.pipeline or part.settings.crop < 1
    image, other = (middle(one, seen) for one in (example.image, example.other))
    count = max(4, min(DRAWS, PIXELS // image.numel()) // 2 * 2)
    images = (example.image if cuts else image).expand(count, -1, -1, -1)
    mixing = part.settings.mixup or part.settings.cutmix
    if mixing:  # an image is mixed with the one before it in the batch
        images = torch.cat([other, image]).repeat(count // 2, 1, 1, 1)
    tile = Tile(image[0].cpu().numpy(), part.name, "does not work alone")
    for settings in filter(None, (part.settings, part.after)):
        try:
            rows, drawn = _drawn(example, settings, images)
        except FoldwiseError:  # a transform for larger images than these
            continue
        if mixing:
            drawn = drawn[(rows % 2 == 1) & (np.roll(rows, 1) % 2 == 0)]
        change = np.abs(drawn.astype(np.int16) - image.cpu().numpy()).mean(axis=(1, 2, 3))
        order = np.argsort(change, kind="stable")
        chosen = order[len(order) // 2] if part.varied else order[-1]
        tile = Tile(drawn[chosen], part.name, part.detail)
        if change[chosen]:
            return tile
        tile = replace(tile, detail="changes nothing here")
    return tile


def _drawn(example: Example, settings: Augment, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """``images`` as a batch of training with other settings: their numbers in it, and uint8."""
    config, material, count = example.job.config, example.material, len(images)
    config = replace(config, augment=settings, train=replace(config.train, batch_size=count))
    if images.shape[1] == config.images.size:  # cropped already
        config = replace(config, images=replace(config.images, crop_pct=1.0, decode_size=0))
    workers = threads(config.images.workers)
    pipeline = pipeline_of(settings, config.images, images.shape[3], workers)
    place = torch.device("cpu") if pipeline else example.job.device
    target = material.targets[example.row]
    copies = replace(
        material, rows=np.arange(count), images=ResidentImages(images.to(place)),
        targets=target.expand(count, *target.shape), pipeline=pipeline,
    )  # fmt: skip
    rows, pixels, _ = next(seen(config, copies, 0, 1))
    return rows, example.undone(pixels)


def _spread(config: Config, values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Of ``rows`` as many as a sheet holds: alike many of each class; numbers from end to end."""
    room, random = ACROSS * DOWN, np.random.default_rng(config.seed)
    if config.competition.task == "regression":
        order = rows[np.argsort(values[rows, 0], kind="stable")]
        return order[np.unique(np.linspace(0, len(order) - 1, room).astype(int))]
    classes = len(config.competition.classes)
    shown = np.unique(np.linspace(0, classes - 1, min(classes, room)).astype(int))
    each = next(n for n in (24, 16, 8, 4, 2, 1) if n * len(shown) <= room)
    chosen: list[int] = []
    for number in shown:
        has = values[rows] == number if values.ndim == 1 else values[rows, number] == 1
        free = np.setdiff1d(rows[has], chosen)
        chosen += random.permutation(free)[:each].tolist()
    return np.array(chosen or rows[:room].tolist(), np.int64)


def _said(example: Example, target: Tensor) -> str:
    """What the network is to say: ``cat``, ``cat .70, dog .30``, or the numbers of a regression."""
    names = example.job.config.competition.classes
    if target.ndim == 0:
        return names[int(target)]
    values = target.cpu().double().numpy()
    known = example.job.mended.values[example.material.rows]
    if scale := scale_of(example.job.config, known):
        step = 10.0 ** (np.floor(np.log10(scale[1])) - 3)  # finer is the rounding of float32
        numbers = [
            f"{value:.6g}" for value in ((values * scale[1] + scale[0]) / step).round() * step + 0.0
        ]
        pairs = zip(map(_short, names), numbers, strict=True)
        return numbers[0] if len(names) == 1 else ", ".join(map("\u00a0".join, pairs))
    order = [n for n in np.argsort(-values, kind="stable").tolist() if values[n] >= 0.005]
    if len(order) == 1 and values[order[0]] >= 0.995:
        return names[order[0]]
    return ", ".join(_short(names[n]) + _share(values[n]) for n in order) or "no label"


def _short(name: str) -> str:
    """For a place beside others: without its middle, where that is long; never wrapped."""
    cut = name if len(name) <= 14 else f"{name[:8]}…{name[-5:]}"
    return cut.replace(" ", "\u00a0")


def _share(value: float) -> str:
    return "" if value >= 0.995 else f"\u00a0{value:.2f}".replace("0.", ".")


def _id(example: Example, row: int) -> str:
    return str(example.job.data.train["id"].iat[row])
