"""Images decoded once for all folds, epochs and runs, into one memory-mapped file of bytes.

A pack is ``<key>.u8``, the pixels of all images one after the other, and ``<key>.json``, which says
what is in it and vouches for it. The key is made of everything that decides about the pixels: the
images' names, sizes and times, the working size, channels, CLAHE, OpenCV's version. While a pack is
being made it is ``<key>.part``, beside ``<key>.done`` with a mark a chunk: a call that was broken
off goes on where it was. The mark has the chunk's checksum, because after a power cut it may be on
the disk and the chunk not.
"""

import fcntl
import hashlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from foldwise import containers
from foldwise.bar import counted
from foldwise.errors import FoldwiseError
from foldwise.files import not_writable, out_of_space, read_json, shown, write_json
from foldwise.images.decode import UnreadableImage, decode

CHUNK = 64  # images: what is decoded by one thread at a time, and has a checksum of its own
CHECKED = 32  # chunks whose checksums are compared when a pack is opened
MARK = 2**32  # of a chunk that is whole: this and its checksum
SYNCED = 2**27  # bytes: so many are brought to the disk at a time, while others are decoded
DECODING = 2  # counts the changes to what decoding gives: the packs of older ones are of no use
SPARE = 2**30  # bytes that a pack leaves free on the disk
WORTH = 2**24  # bytes of pixels; less is decoded faster than a person notices


@dataclass(frozen=True)
class Look:
    """What decoded images are like: uint8 (size, size, channels), after CLAHE."""

    size: int
    channels: int
    clahe: float = 0.0

    def decode(self, name: str) -> np.ndarray:
        return decode(name, self.channels, self.size, self.clahe)

    @property
    def bytes(self) -> int:
        return self.size * self.size * self.channels


@dataclass(frozen=True)
class Pack:
    """pixels: uint8 (n, size, size, channels), mapped from the file; zeros for broken images.

    broken: {position: what is wrong}, '' names (images that are missing) included.
    """

    pixels: np.ndarray
    broken: dict[int, str]


def open_pack(names: list[str], look: Look, folder: Path, workers: int) -> Pack:
    """The pack of these images in ``folder``: made, or gone on with, where it is not whole.

    Raises FoldwiseError where the disk would not hold it or the folder cannot be written.
    """
    shape = (len(names), look.size, look.size, look.channels)
    if not names:
        return Pack(np.zeros(shape, np.uint8), {})
    path = folder / f"{_key(names, look)}.u8"
    if not _is_whole(path):
        _make(names, look, path, workers)
    facts = read_json(path.with_suffix(".json"))
    # Copy-on-write: torch takes no read-only memory, and nobody writes to it.
    pixels = np.memmap(path, np.uint8, "c", shape=shape)
    return Pack(pixels, {int(n): reason for n, reason in facts["broken"].items()})


def room_for(folder: Path, size: int) -> bool:
    """Whether the disk of ``folder`` holds ``size`` more bytes, and can be written."""
    place = next(path for path in (folder, *folder.parents) if path.exists())
    return os.access(place, os.W_OK) and shutil.disk_usage(place).free >= size + SPARE


def clean(folder: Path) -> int:
    """Deletes the packs of a folder; the bytes that this frees."""
    freed = 0
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.suffix in (".u8", ".json", ".part", ".done", ".lock") and len(path.stem) == 32:
            freed += path.stat().st_size
            path.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    return freed


def _key(names: list[str], look: Look) -> str:
    base = os.path.commonpath([str(Path(n).parent) for n in names if n]) if any(names) else ""
    state = hashlib.sha256(json.dumps([DECODING, cv2.__version__, asdict(look)]).encode())
    for name in names:
        facts = []
        for file in containers.files_of(name) if name else ():
            try:
                there = file.stat()
                facts.append((there.st_size, there.st_mtime_ns))
            except OSError:
                facts.append((0, 0))
        state.update(f"{name.removeprefix(base)}\0{facts}\n".encode("utf-8", "surrogatepass"))
    return state.hexdigest()[:32]


def _is_whole(path: Path) -> bool:
    """Whether a pack is there, of the right length, and a few of its chunks are as written."""
    if not path.is_file() or not path.with_suffix(".json").is_file():
        return False
    try:
        facts = read_json(path.with_suffix(".json"))
        sums, step = facts["checksums"], facts["chunk_bytes"]
        if path.stat().st_size != facts["bytes"]:
            return False
        with path.open("rb") as file:
            for n in np.unique(np.linspace(0, len(sums) - 1, min(CHECKED, len(sums))).astype(int)):
                file.seek(int(n) * step)
                if zlib.crc32(file.read(step)) != sums[n]:
                    return False
    except (FoldwiseError, KeyError, TypeError, OSError):
        return False
    return True


def _make(names: list[str], look: Look, path: Path, workers: int) -> None:
    total = len(names) * look.bytes
    if not room_for(path.parent, total):
        raise FoldwiseError(
            f"{shown(path.parent)} has no room for the decoded images ({total / 2**30:.1f} GB and "
            "1 GB to spare, on a disk that can be written): free some, give another folder with "
            "images.pack=PATH, or images.pack=off decodes them in every epoch"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            if not _is_whole(path):  # another process may have been faster
                _fill(names, look, path, workers)
    except OSError as error:
        if out_of_space(error):
            raise
        raise not_writable(path, error) from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two processes never make one pack: the second waits for the first."""
    with path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another process decodes these images: waiting for it", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    path.with_suffix(".lock").unlink(missing_ok=True)


def _fill(names: list[str], look: Look, path: Path, workers: int) -> None:
    part, done = path.with_suffix(".part"), path.with_suffix(".done")
    starts, total = range(0, len(names), CHUNK), len(names) * look.bytes
    if not _has_size(part, total) or not _has_size(done, 8 * len(starts)):
        _reserve(part, total)
        done.write_bytes(bytes(8 * len(starts)))
    known = np.fromfile(done, np.uint64)

    def chunk(number: int) -> tuple[int, int, dict[str, str]]:
        """Images, checksum, and what is wrong with the broken ones among them."""
        rows = range(starts[number], min(starts[number] + CHUNK, len(names)))
        if known[number]:  # decoded by a call that was broken off
            kept = os.pread(pixels.fileno(), len(rows) * look.bytes, rows.start * look.bytes)
            if known[number] == MARK + zlib.crc32(kept):
                return len(rows), zlib.crc32(kept), {}
        checksum, found = _decode(names, rows, look, pixels)
        if not found:  # those with broken images are looked at again, to name them
            _write(marks, (MARK + checksum).to_bytes(8, sys.byteorder), 8 * number)
        return len(rows), checksum, found

    checksums: list[int] = []
    broken: dict[str, str] = {}
    unsynced = 0
    with (
        part.open("r+b") as pixels,
        done.open("r+b") as marks,
        ThreadPoolExecutor(workers) as pool,
        counted(len(names), "images decoded") as advance,
    ):
        work = [pool.submit(chunk, number) for number in range(len(starts))]
        try:
            for future in work:
                count, checksum, found = future.result()
                advance(count)
                checksums.append(checksum)
                broken |= found
                unsynced += count * look.bytes
                if unsynced > SYNCED:
                    os.fsync(pixels.fileno())
                    unsynced = 0
        finally:
            pool.shutdown(cancel_futures=True)
        os.fsync(pixels.fileno())
    facts = {
        "images": len(names),
        **asdict(look),
        "bytes": total,
        "chunk_bytes": CHUNK * look.bytes,
        "checksums": checksums,
        "broken": broken,
    }
    part.replace(path)
    write_json(path.with_suffix(".json"), facts)
    done.unlink(missing_ok=True)


def _reserve(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        if hasattr(os, "posix_fallocate"):  # a full disk shows now and not after an hour
            os.posix_fallocate(file.fileno(), 0, size)


def _decode(names: list[str], rows: range, look: Look, pixels: Any) -> tuple[int, dict[str, str]]:
    """Write the images of these rows, black where broken: their checksum, and what is wrong."""
    blank = np.zeros((look.size, look.size, look.channels), np.uint8)
    checksum, found = 0, {}
    for row in rows:
        image = blank
        try:
            if names[row]:
                image = np.ascontiguousarray(look.decode(names[row]))
            else:
                found[str(row)] = "is missing"
        except UnreadableImage as error:
            found[str(row)] = str(error)
        data = memoryview(image).cast("B")  # type: ignore[arg-type]
        checksum = zlib.crc32(data, checksum)
        _write(pixels, data, row * look.bytes)
    return checksum, found


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _write(file: Any, data: Any, place: int) -> None:
    """All of ``data`` at ``place``; the system may take it in several pieces."""
    view = memoryview(data)
    while view:
        count = os.pwrite(file.fileno(), view, place)
        view, place = view[count:], place + count
