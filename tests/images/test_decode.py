import os
from pathlib import Path
from unittest.mock import ANY

import cv2
import numpy as np
import pytest
from PIL import Image

from foldwise import containers
from foldwise.containers import JOINED
from foldwise.errors import FoldwiseError, UsageError
from foldwise.images.decode import (
    UnreadableImage,
    channels_of_each,
    decode,
    find_broken,
    native_channels,
    native_size,
)

RAMP = np.linspace(0, 255, 40 * 30 * 3).astype(np.uint8).reshape(40, 30, 3)


def write(path: Path, image: np.ndarray = RAMP) -> str:
    assert cv2.imwrite(str(path), image)
    return str(path)


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "webp", "jpg"])
def test_formats_decode_to_rgb(tmp_path: Path, ending: str) -> None:
    image = decode(write(tmp_path / f"x.{ending}"), 3)
    assert (image.shape, image.dtype) == ((40, 30, 3), np.uint8)
    tolerance = 12 if ending in ("jpg", "webp") else 0
    assert np.abs(image.astype(int) - RAMP[:, :, ::-1].astype(int)).max() <= tolerance


def test_gray_files_and_gray_models(tmp_path: Path) -> None:
    path = write(tmp_path / "x.png", RAMP[:, :, 0])
    np.testing.assert_array_equal(decode(path, 1)[:, :, 0], RAMP[:, :, 0])
    np.testing.assert_array_equal(decode(path, 3), np.repeat(RAMP[:, :, :1], 3, axis=2))
    assert decode(write(tmp_path / "y.png"), 1, 8).shape == (8, 8, 1)


def test_size_resizes_both_ways(tmp_path: Path) -> None:
    path = write(tmp_path / "x.png")
    assert decode(path, 3, 16).shape == (16, 16, 3)
    assert decode(path, 3, 64).shape == (64, 64, 3)


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
    Image.fromarray(RAMP).save(tmp_path / "x.jpg", exif=exif, quality=95)
    image = decode(str(tmp_path / "x.jpg"), 3)
    assert image.shape == (30, 40, 3)
    assert np.abs(image.astype(int) - np.rot90(RAMP, -1).astype(int)).mean() < 5


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.995])
def test_cut_off_files_are_unreadable(tmp_path: Path, ending: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)
    path = Path(write(tmp_path / f"x.{ending}", noise))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UnreadableImage):
        decode(str(path), 3)


def test_zeros_behind_a_photo_and_a_thumbnail_in_it_deceive_nobody(tmp_path: Path) -> None:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3)).astype(np.uint8)
    Image.fromarray(noise[:16, :16]).save(tmp_path / "small.jpg")
    small = (tmp_path / "small.jpg").read_bytes()
    exif = b"Exif\0\0" + small  # a header with an end mark of its own
    path = Path(write(tmp_path / "x.jpg", noise))
    whole = path.read_bytes()
    head = b"\xff\xd8\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path.write_bytes(head + whole[2:] + b"\0" * 5000)
    assert decode(str(path), 3).shape == (80, 80, 3)
    path.write_bytes(head + whole[2 : len(whole) // 2])
    with pytest.raises(UnreadableImage):
        decode(str(path), 3)


def test_text_a_folder_and_nothing_are_unreadable(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_text("no image")
    for path in (tmp_path / "x.png", tmp_path, tmp_path / "absent.png"):
        with pytest.raises(UnreadableImage):
            decode(str(path), 3)


def test_find_broken_names_all_and_remembers_a_whole_set(tmp_path: Path) -> None:
    files = [write(tmp_path / f"{n}.png") for n in range(5)]
    memory = tmp_path / "memory"
    assert find_broken(files, 2, memory) == {}
    assert memory.is_file()
    Path(files[1]).write_bytes(b"")
    Path(files[3]).write_bytes(Path(files[3]).read_bytes()[:100])
    assert set(find_broken(files, 2, memory)) == {files[1], files[3]}


def test_a_damaged_memory_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "memory").write_bytes(bytes(range(256)))
    assert find_broken([write(tmp_path / "0.png")], 1, tmp_path / "memory") == {}


def test_a_remembered_set_is_not_decoded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [write(tmp_path / f"{n}.png") for n in range(3)]
    find_broken(files, 1, tmp_path / "memory")
    monkeypatch.setattr("foldwise.images.decode.decode", lambda *_: pytest.fail("decoded again"))
    assert find_broken(files, 1, tmp_path / "memory") == {}


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_no_obstacle(tmp_path: Path) -> None:
    files = [write(tmp_path / "0.png")]
    tmp_path.chmod(0o500)
    assert find_broken(files, 1, tmp_path / "memory") == {}


def test_native_size_is_the_datas_own_up_to_64(tmp_path: Path) -> None:
    small = [write(tmp_path / f"s{n}.png", RAMP[:28, :28]) for n in range(3)]
    assert native_size(small) == 28
    large = write(tmp_path / "l.png", np.zeros((70, 300, 3), np.uint8))
    assert native_size([large]) == 224
    (tmp_path / "bad.png").write_text("")
    assert native_size([str(tmp_path / "bad.png"), *small]) == 28


@pytest.mark.parametrize("channels", [2, 4, 6])
def test_an_image_is_gray_or_coloured(channels: int) -> None:
    assert [channels_of_each(1, 1), channels_of_each(1, 3), channels_of_each(2, 6)] == [1, 3, 3]
    line = rf"in_chans={channels} does not fit one image a row: say 1 \(gray\) or 3 \(RGB\)"
    with pytest.raises(UsageError, match=line):
        channels_of_each(1, channels)


def test_rows_of_several_images_are_stacked(tmp_path):
    parts = []
    for n, side in enumerate((8, 4)):
        parts.append(str(tmp_path / f"{n}.png"))
        cv2.imwrite(parts[-1], np.full((side, side, 3), (10, 20 + n, 30), np.uint8))
    image = decode(JOINED.join(parts), 6)
    assert image.shape == (8, 8, 6) and image[0, 0].tolist() == [30, 20, 10, 30, 21, 10]
    assert decode(JOINED.join(parts), 2, 5).shape == (5, 5, 2)
    assert native_channels([JOINED.join(parts)]) == 6 and native_channels(parts) == 3
    with pytest.raises(
        FoldwiseError, match=r"in_chans=3 does not fit rows of 2 images: say 2 .* 6"
    ):
        decode(JOINED.join(parts), 3)
    broken = find_broken([JOINED.join([parts[0], "gone.png"])], 1, None)
    assert len(broken) == 1 and "(gone.png) cannot be read" in next(iter(broken.values()))


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_arrays(channels):
    gray = np.arange(48, dtype=np.uint8).reshape(1, 6, 8)
    for kept in (gray, gray[..., None], gray[..., None].repeat(3, 3), gray[..., None].repeat(4, 3)):
        (name,) = containers.keep(Path("x.npy"), "", kept)
        image = decode(name, channels)
        assert image.shape == (6, 8, channels) and (image == gray[0][..., None]).all()
        assert decode(name, channels, 5).shape == (5, 5, channels)


def test_encoded_images_of_a_table(tmp_path):
    data = cv2.imencode(".png", np.full((3, 4, 3), (1, 2, 3), np.uint8))[1].tobytes()
    good, empty, bad = containers.keep(Path("x.parquet"), "", [data, b"", b"no image"])
    assert decode(good, 3)[0, 0].tolist() == [3, 2, 1]
    assert find_broken([good, empty, bad], 2, None) == {empty: "is empty", bad: ANY}


def photograph(height: int = 500, width: int = 640) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("size", [56, 57, 62, 100, 113, 125, 224, 227, 250, 500])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_decoded_smaller_is_the_same_image(tmp_path, size, channels):
    """Within 3 of 255 in the mean and 16 at worst of decoding it whole."""
    path = write(tmp_path / "x.jpg", photograph())
    small, whole = decode(path, channels, size), decode(path, channels)
    expected = cv2.resize(whole, (size, size), interpolation=cv2.INTER_AREA).reshape(small.shape)
    error = np.abs(small.astype(int) - expected.astype(int))
    assert error.mean() < 3 and error.max() <= 16


def test_a_turned_jpeg_decoded_smaller_is_turned(tmp_path):
    image = Image.fromarray(photograph(400, 800)[:, :, ::-1])
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    image.save(tmp_path / "x.jpg", exif=exif, quality=95)
    turned = np.rot90(decode(write(tmp_path / "plain.jpg", photograph(400, 800)), 3), -1)
    assert decode(str(tmp_path / "x.jpg"), 3).shape == (800, 400, 3)
    expected = cv2.resize(np.ascontiguousarray(turned), (50, 50), interpolation=cv2.INTER_AREA)
    found = decode(str(tmp_path / "x.jpg"), 3, 50)
    assert np.abs(found.astype(int) - expected.astype(int)).mean() < 3


def test_unusual_modes(tmp_path):
    """Against Pillow: palette, transparency, CMYK, 16 bits."""
    image = Image.fromarray(photograph(60, 80)[:, :, ::-1])
    deep = np.random.default_rng(0).integers(0, 65536, (60, 80)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    cv2.imwrite(str(tmp_path / "deep.tif"), deep)
    image.quantize(64).save(tmp_path / "palette.png")
    image.convert("RGBA").save(tmp_path / "alpha.png")
    image.convert("L").save(tmp_path / "gray.webp", lossless=True)
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    exact = dict.fromkeys(("palette.png", "alpha.png", "gray.webp"), 0)
    for name, tolerance in (exact | {"cmyk.jpg": 3}).items():
        expected = np.asarray(Image.open(tmp_path / name).convert("RGB")).astype(int)
        found = decode(str(tmp_path / name), 3).astype(int)
        assert np.abs(found - expected).mean() <= tolerance, name
    for name in ("deep.png", "deep.tif"):
        assert (decode(str(tmp_path / name), 1)[:, :, 0] == deep >> 8).all(), name


def test_clahe_evens_contrast_out(tmp_path):
    dull = write(tmp_path / "x.png", (photograph(64, 64) // 4 + 100).astype(np.uint8))
    for channels in (1, 3):
        plain, even = decode(dull, channels, 64), decode(dull, channels, 64, clahe=4.0)
        assert even.shape == plain.shape and even.std() > 1.3 * plain.std()


@pytest.mark.parametrize("length", [0, 2, 3, 9, 20, 600])
def test_a_jpeg_cut_anywhere_is_no_crash(tmp_path, length):
    data = Path(write(tmp_path / "x.jpg")).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[:length])
    with pytest.raises(UnreadableImage):
        decode(str(tmp_path / "cut.jpg"), 3)
