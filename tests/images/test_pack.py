"""A pack holds what decoding gives, is made once, and is never believed when it is not whole."""

import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from foldwise import containers
from foldwise.errors import FoldwiseError
from foldwise.images import pack
from foldwise.images.load import PackedImages, StreamedImages, open_images
from foldwise.images.pack import CHUNK, Look, clean, open_pack
from helpers import QUICK, Ended

LOOK, CPU = Look(8, 3), torch.device("cpu")


@pytest.fixture
def names(tmp_path: Path) -> list[str]:
    source = np.random.default_rng(0)
    made = []
    for n in range(8 * CHUNK + 9):
        made.append(str(tmp_path / "images" / f"{n}.png"))
        Path(made[-1]).parent.mkdir(exist_ok=True)
        cv2.imwrite(made[-1], source.integers(0, 256, (9, 7, 3), np.uint8))
    return made


def test_the_pack_is_what_decoding_gives(names: list[str], tmp_path: Path) -> None:
    names = [*names, *containers.keep(tmp_path / "x.npy", "", np.full((2, 5, 5), 7, np.uint8))]
    packed = open_pack(names, LOOK, tmp_path / "packed", 2)
    assert (packed.pixels == np.stack([LOOK.decode(name) for name in names])).all()
    assert packed.broken == {}
    rows = [np.array([3, 1, 515]), np.array([0])]
    streamed = StreamedImages(names, LOOK, CPU, 2)
    for images in (PackedImages(packed.pixels, CPU), open_images(names, LOOK, CPU, 2, 1.0, packed)):
        for one, other in zip(images.batches(rows), streamed.batches(rows), strict=True):
            assert torch.equal(one, other)


def decodes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are decoded from now on."""
    seen: list[str] = []
    plain = Look.decode

    def counting(self: Look, name: str) -> np.ndarray:
        seen.append(name)
        return plain(self, name)

    monkeypatch.setattr(Look, "decode", counting)
    return seen


def test_nothing_is_decoded_twice(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_pack(names, LOOK, tmp_path / "packed", 2)
    seen = decodes(monkeypatch)
    assert (open_pack(names, LOOK, tmp_path / "packed", 2).pixels == first.pixels).all()
    assert not seen


def broken_off(names: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pack that was being made when somebody pressed Ctrl-C in its second chunk."""
    plain = pack.Look.decode

    def stopping(self: Look, name: str) -> np.ndarray:
        if name == names[CHUNK + 5]:
            raise KeyboardInterrupt
        return plain(self, name)

    with monkeypatch.context() as patch:
        patch.setattr(Look, "decode", stopping)
        with pytest.raises(KeyboardInterrupt):
            open_pack(names, LOOK, folder, 1)
    assert not list(folder.glob("*.u8"))


def test_a_call_that_was_broken_off_goes_on(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = np.array(open_pack(names, LOOK, tmp_path / "other", 1).pixels)
    broken_off(names, tmp_path / "packed", monkeypatch)
    seen = decodes(monkeypatch)
    assert (open_pack(names, LOOK, tmp_path / "packed", 1).pixels == whole).all()
    assert names[CHUNK + 5] in seen and names[0] not in seen
    assert sorted(p.suffix for p in (tmp_path / "packed").iterdir()) == [".json", ".u8"]


@pytest.mark.parametrize("lost", ["pixels", "marks", "half of the marks"])
def test_what_a_power_cut_lost_is_decoded_again(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    whole = np.array(open_pack(names, LOOK, tmp_path / "other", 1).pixels)
    broken_off(names, tmp_path / "packed", monkeypatch)
    (part,) = (tmp_path / "packed").glob("*.part")
    if lost == "pixels":
        with part.open("r+b") as file:
            file.write(bytes(CHUNK * LOOK.bytes))
    else:
        done = part.with_suffix(".done")
        size = done.stat().st_size
        done.write_bytes(bytes(size) if lost == "marks" else done.read_bytes()[: size // 2])
    seen = decodes(monkeypatch)
    assert (open_pack(names, LOOK, tmp_path / "packed", 1).pixels == whole).all()
    assert names[0] in seen


@pytest.mark.parametrize("damage", ["cut", "changed", "no facts", "damaged facts"])
def test_a_damaged_pack_is_made_again(names: list[str], tmp_path: Path, damage: str) -> None:
    whole = np.array(open_pack(names, LOOK, tmp_path / "packed", 2).pixels)
    (path,) = (tmp_path / "packed").glob("*.u8")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "changed":
        data = path.read_bytes()
        path.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    elif damage == "no facts":
        path.with_suffix(".json").unlink()
    else:
        path.with_suffix(".json").write_text("{")
    assert (open_pack(names, LOOK, tmp_path / "packed", 2).pixels == whole).all()


def test_what_makes_another_pack(names: list[str], tmp_path: Path) -> None:
    def packs() -> int:
        return len(list((tmp_path / "packed").glob("*.u8")))

    open_pack(names, LOOK, tmp_path / "packed", 2)
    for number, (other, look) in enumerate(
        [(names[:-1], LOOK), (names, Look(6, 3)), (names, Look(8, 1)), (names, Look(8, 3, 2.0))]
    ):
        open_pack(other, look, tmp_path / "packed", 2)
        assert packs() == number + 2
    os.utime(names[0], (1, 1))  # the image was written anew
    open_pack(names, LOOK, tmp_path / "packed", 2)
    assert packs() == 6
    assert clean(tmp_path / "packed") > 0 and not (tmp_path / "packed").exists()


def test_broken_and_missing_images_are_known(names: list[str], tmp_path: Path) -> None:
    Path(names[2]).write_bytes(b"no image")
    names[5] = ""
    for _ in range(2):
        packed = open_pack(names, LOOK, tmp_path / "packed", 2)
        assert packed.broken == {2: "is no image, or cut off", 5: "is missing"}
        assert not packed.pixels[[2, 5]].any() and packed.pixels[3].any()


def test_no_room(names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "SPARE", 2**60)
    with pytest.raises(FoldwiseError, match=r"packed has no room .* images.pack=PATH, or"):
        open_pack(names, LOOK, tmp_path / "packed", 2)
    assert not (tmp_path / "packed").exists()


def test_packed_and_not_gives_the_same_bytes(
    pets: Path, foldwise: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    words = ("competition=pets", "fold=0", *QUICK)
    for name, setting in (("off", "off"), ("on", str(tmp_path / "elsewhere")), ("auto", "auto")):
        ended = foldwise(*words, f"run={name}", f"images.pack={setting}")
        assert ended.code == 0, ended.err
    assert len(list((tmp_path / "elsewhere").glob("*.u8"))) == 2
    assert not (pets / "packed").exists()  # so few images are not worth it
    for file in ("oof.parquet", "test.parquet", "model.safetensors"):
        one, *others = [
            (home / "oof" / n / "fold0" / file).read_bytes() for n in ("off", "on", "auto")
        ]
        assert others == [one, one], file


def test_pack_and_clean_by_command(pets: Path, foldwise: Callable[..., Ended]) -> None:
    ended = foldwise("images", "pack", "competition=pets", "images.size=10")
    assert ended.code == 0, ended.err
    assert "train: 60 x 10 x 10 x 3, 0 MB in input/pets/packed" in ended.out
    assert len(list((pets / "packed").glob("*.u8"))) == 2
    (pets / "train" / "tr003.png").write_bytes(b"no image")
    ended = foldwise("images", "pack", "competition=pets", "images.size=10")
    assert ended.code == 1 and "1 images do not decode: input/pets/train/tr003.png" in ended.err
    ended = foldwise("images", "pack", "competition=pets", "images.size=10", "images.broken=prior")
    assert ended.code == 0 and "1 training images do not decode, teach nothing" in ended.err
    assert "train: 60 x 10" in ended.out
    assert foldwise("images", "clean", "competition=pets").code == 0
    assert not (pets / "packed").exists()
    ended = foldwise("images", "packs", "competition=pets")
    assert ended.code == 2 and "did you mean 'pack'?" in ended.err
