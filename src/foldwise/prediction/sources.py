"""The images of a run: packed, resident or streamed, and which of them can be used."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from foldwise.competition.folder import packs_of
from foldwise.competition.layout import CompetitionData
from foldwise.config import Config
from foldwise.containers import JOINED
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import home, shown, write_text
from foldwise.images.decode import (
    channels_of_each,
    find_broken,
    native_channels,
    native_size,
    threads,
)
from foldwise.images.load import Images, open_images
from foldwise.images.pack import WORTH, Look, Pack, open_pack, room_for
from foldwise.prediction.fold_model import look_of


@dataclass(frozen=True)
class Sources:
    """The images of the train and test rows, and which rows have a usable one.

    train_usable: bool (train rows,); test_rows: int64, positions. pool: unlabelled images that are
    trained on.
    """

    train: Images
    test: Images | None
    train_usable: np.ndarray
    test_rows: np.ndarray
    pool: Images | None = None


def open_sources(
    config: Config,
    data: CompetitionData,
    place: torch.device,
    device: torch.device,
    pool: list[str] | None = None,
) -> Sources:
    """All images, packed where that is worth it, and decoded once to see that they can be.

    The batches of train images, and of those of the ``pool`` (the test images or others), are on
    ``place``, those of test images on ``device``.
    Raises FoldwiseError naming the images that do not decode.
    """
    train = data.train["file"].tolist()
    test = [] if data.test is None else data.test["file"].tolist()
    look = decide_look(config, data)
    workers, debug = threads(config.images.workers), config.debug
    count = len(train) + len(test) + (0 if pool in (None, test) else len(pool or []))
    folder = None if debug else _pack_folder(config, data, look, count)
    packs = [open_pack(names, look, folder, workers) if folder else None for names in (train, test)]
    quick = debug and config.images.broken == "error"  # two batches: their own images tell
    broken = {} if quick else _broken(config, data, packs)
    train_usable = np.array([path not in broken for path in train], bool)
    test_rows = np.flatnonzero([path != "" and path not in broken for path in test])
    resident = 0.0 if debug else config.images.resident_gb
    decodable = [path if good else "" for path, good in zip(train, train_usable, strict=True)]
    images = open_images(decodable, look, place, workers, resident, packs[0])
    others: Images | None = None
    if data.test is not None:
        others = open_images(test, look, device, workers, 0.0, packs[1])
    if pool is None:
        return Sources(images, others, train_usable, test_rows)
    pack = packs[1] if pool == test else open_pack(pool, look, folder, workers) if folder else None
    whole = pool != test or len(test_rows) == len(test)
    left = resident - len(train) * look.bytes / 2**30 if whole else 0.0
    unlabelled = open_images(pool, look, place, workers, left, pack)
    if pool == test and place == device:
        others = unlabelled  # what is trained on again and again may be resident: held once
    return Sources(images, others, train_usable, test_rows, unlabelled)


def decide_look(config: Config, data: CompetitionData) -> Look:
    """Replace images.size and model.in_chans by decisions where they are automatic.

    Raises UsageError for channels that the images do not have.
    """
    names = data.train["file"].tolist()
    if not config.model.in_chans:
        config.model.in_chans = native_channels(names)
    channels_of_each(names[0].count(JOINED) + 1, config.model.in_chans)
    if not config.images.size:
        config.images.size = native_size(names)
    return look_of(config)


def make_packs(config: Config, data: CompetitionData) -> list[tuple[str, Pack, Path]]:
    """``images pack``: (train or test, its pack, its folder), however small they are.

    Raises FoldwiseError naming images that do not decode, but with images.broken=prior.
    """
    look, workers = decide_look(config, data), threads(config.images.workers)
    setting = config.images.pack
    auto = setting in ("auto", "off")
    folder = packs_of(data.folder) if auto else Path(setting).expanduser()
    parts = {"train": data.train, "test": data.test}
    names = {part: table["file"].tolist() for part, table in parts.items() if table is not None}
    packs = [(part, open_pack(names[part], look, folder, workers), folder) for part in names]
    broken = {
        names[part][n]: reason
        for part, pack, _ in packs
        for n, reason in pack.broken.items()
        if names[part][n]
    }
    _refuse_or_say(config, broken, names["train"], names.get("test", []))
    return packs


def _pack_folder(config: Config, data: CompetitionData, look: Look, count: int) -> Path | None:
    """Where packs go; None where images.pack is off, or where auto finds them of little use."""
    setting, size = config.images.pack, count * look.bytes
    if setting == "off":
        return None
    if setting != "auto":
        return Path(setting).expanduser()
    folder = packs_of(data.folder)
    if size < WORTH:
        return None
    if not room_for(folder, size):
        print(
            f"no room in {shown(folder)} for {size / 2**30:.1f} GB of decoded images: they are "
            "decoded anew in every epoch (images.pack=PATH packs them elsewhere)",
            file=sys.stderr,
        )
        return None
    return folder


def _broken(config: Config, data: CompetitionData, packs: list[Pack | None]) -> dict[str, str]:
    """{file: what is wrong} of the images that do not decode, all of which are then named.

    Raises FoldwiseError for them but with images.broken=prior.
    """
    train = data.train["file"].tolist()
    test = [] if data.test is None else data.test["file"].tolist()
    if packs[0] and packs[1]:
        broken = {train[n]: reason for n, reason in packs[0].broken.items()}
        broken |= {test[n]: reason for n, reason in packs[1].broken.items() if test[n]}
    else:
        memory = data.folder / ".images-decode"
        names = [*train, *filter(None, test)]
        broken = find_broken(names, threads(config.images.workers), memory)
    _refuse_or_say(config, broken, train, test)
    return broken


def _refuse_or_say(
    config: Config, broken: dict[str, str], train: list[str], test: list[str]
) -> None:
    """Raises FoldwiseError for images that do not decode; with images.broken=prior names them."""
    if broken and (config.images.broken == "error" or all(path in broken for path in train)):
        _refuse(broken)
    for part, names, what in (
        ("training", train, "teach nothing and get the class prior"),
        ("test", test, "get the class prior"),
    ):
        some = [shown(Path(path)) for path in names if path in broken]
        if some:
            said = f"{len(some)} {part} images do not decode, {what}: {first_few(some)}"
            print(said, file=sys.stderr)


def _refuse(broken: dict[str, str]) -> None:
    names = [f"{shown(Path(path))} {reason}" for path, reason in broken.items()]
    everything = ""
    if len(names) > 20:
        listing = home() / "broken-images.txt"
        write_text(listing, "\n".join(names) + "\n")
        everything = f" (all of them in {shown(listing)})"
    raise FoldwiseError(
        f"{len(names)} images do not decode: {first_few(names, 20)}{everything}; restore them, "
        "or go on without them: images.broken=prior gives them the class prior, and trains on none"
    )
