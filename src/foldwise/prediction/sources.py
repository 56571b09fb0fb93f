"""The images of a run: packed, resident or streamed, and which of them can be used."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from foldwise.competition.folder import packs_of
from foldwise.competition.layout import CompetitionData
from foldwise.config import Config
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import home, shown, write_text
from foldwise.images.decode import find_broken, native_channels, native_size, threads
from foldwise.images.load import Images, open_images
from foldwise.images.pack import WORTH, Look, Pack, open_pack, room_for


@dataclass(frozen=True)
class Sources:
    """The images of the train and test rows, and the test rows (int64) that have a usable one.

    ``pool``: unlabelled images that are trained on.
    """

    train: Images
    test: Images | None
    usable: np.ndarray
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
    usable = _usable_test_rows(config, data, packs)
    resident = 0.0 if debug else config.images.resident_gb
    images = open_images(train, look, place, workers, resident, packs[0])
    others: Images | None = None
    if data.test is not None:
        others = open_images(test, look, device, workers, 0.0, packs[1])
    if pool is None:
        return Sources(images, others, usable)
    pack = packs[1] if pool == test else open_pack(pool, look, folder, workers) if folder else None
    whole = pool != test or len(usable) == len(test)
    left = resident - len(train) * look.bytes / 2**30 if whole else 0.0
    unlabelled = open_images(pool, look, place, workers, left, pack)
    if pool == test and place == device:
        others = unlabelled  # what is trained on again and again may be resident: held once
    return Sources(images, others, usable, unlabelled)


def decide_look(config: Config, data: CompetitionData) -> Look:
    """Replace images.size and model.in_chans by decisions where they are automatic."""
    names = data.train["file"].tolist()
    if not config.model.in_chans:
        config.model.in_chans = native_channels(names)
    if not config.images.size:
        config.images.size = native_size(names)
    return Look(config.images.size, config.model.in_chans, config.images.clahe)


def make_packs(config: Config, data: CompetitionData) -> list[tuple[str, Pack, Path]]:
    """``images pack``: (train or test, its pack, its folder), however small they are.

    Raises FoldwiseError naming images that do not decode.
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
    if broken:
        _refuse(broken)
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


def _usable_test_rows(
    config: Config, data: CompetitionData, packs: list[Pack | None]
) -> np.ndarray:
    """Positions of the test rows with an image that decodes.

    Raises FoldwiseError naming the images that do not decode.
    """
    train = data.train["file"].tolist()
    test = [] if data.test is None else data.test["file"].tolist()
    if config.debug:  # two batches of everything: their own images tell
        return np.array([n for n, path in enumerate(test) if path], np.int64)
    if packs[0] and packs[1]:
        broken = {train[n]: reason for n, reason in packs[0].broken.items()}
        broken |= {test[n]: reason for n, reason in packs[1].broken.items() if test[n]}
    else:
        memory = data.folder / ".images-decode"
        names = [*train, *filter(None, test)]
        broken = find_broken(names, threads(config.images.workers), memory)
    fatal = broken
    if config.images.broken == "prior":
        wanted = set(train)
        fatal = {path: reason for path, reason in broken.items() if path in wanted}
    if fatal:
        _refuse(fatal)
    if broken:
        print(f"{len(broken)} test images do not decode and get the class prior", file=sys.stderr)
    return np.array([n for n, path in enumerate(test) if path and path not in broken], np.int64)


def _refuse(broken: dict[str, str]) -> None:
    names = [f"{shown(Path(path))} {reason}" for path, reason in broken.items()]
    everything = ""
    if len(names) > 20:
        listing = home() / "broken-images.txt"
        write_text(listing, "\n".join(names) + "\n")
        everything = f" (all of them in {shown(listing)})"
    raise FoldwiseError(
        f"{len(names)} images do not decode: {first_few(names, 20)}{everything}; restore them, "
        "or delete them and use images.missing=drop; broken test images alone can get "
        "the class prior with images.broken=prior"
    )
