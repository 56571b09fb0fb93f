"""Which images are found to be copies of one another, and which are not."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from audit.conftest import drawing, jpeg
from foldwise.audit.confirm import align, mirrored, spectrum
from foldwise.audit.descriptors import invariant_features
from foldwise.audit.duplicates import duplicate_groups, duplicates
from foldwise.audit.scan import scan

MANY = 60  # drawings that have nothing to do with one another


def shifted(image: np.ndarray, x: int, y: int) -> np.ndarray:
    return cv2.warpAffine(image, np.array([[1.0, 0, x], [0, 1, y]]), image.shape[1::-1])


COPIES = {
    "bytes": jpeg,
    "recompressed": lambda image: jpeg(image, 40),
    "smaller": lambda image: jpeg(cv2.resize(image, (30, 30), interpolation=cv2.INTER_AREA)),
    "larger": lambda image: jpeg(cv2.resize(image, (90, 90), interpolation=cv2.INTER_CUBIC)),
    "mirrored": lambda image: jpeg(image[:, ::-1]),
    "shifted": lambda image: jpeg(shifted(image, 3, -2)),
    "lighter": lambda image: jpeg(cv2.convertScaleAbs(image, alpha=0.9, beta=15)),
}


def write(folder: Path, images: dict[str, bytes]) -> list[str]:
    for name, content in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in images]


def strangers(folder: Path) -> list[str]:
    return write(folder, {f"{n:03d}.jpg": jpeg(drawing(n)) for n in range(MANY)})


@pytest.mark.parametrize("side", [32, 48, 160])
def test_every_kind_of_copy_is_found_and_nothing_else(tmp_path: Path, side: int) -> None:
    names = list(COPIES)
    contents = {f"{n:03d}.jpg": jpeg(drawing(n, side)) for n in range(MANY)}
    contents |= {f"copy{n}.jpg": COPIES[name](drawing(n, side)) for n, name in enumerate(names)}
    pairs = duplicates(scan(write(tmp_path, contents), 2), 2)
    found = dict(zip(zip(pairs["a"], pairs["b"], strict=True), pairs["kind"], strict=True))
    kinds = {"bytes": "exact", "mirrored": "mirrored"}
    assert found == {(n, MANY + n): kinds.get(name, "near") for n, name in enumerate(names)}
    assert pairs["similarity"].between(0.8, 1).all()


def test_groups_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    files = strangers(tmp_path)
    copies = {f"z/{name}.jpg": change(drawing(3)) for name, change in COPIES.items()}
    files += write(tmp_path, copies)
    groups = dict(zip(files, duplicate_groups(files, 2), strict=True))
    assert groups[files[0]] == "000.jpg"
    assert {groups[file] for file in files[MANY:]} == {"003.jpg"}
    assert len(set(groups.values())) == MANY
    order = np.random.default_rng(1).permutation(len(files))
    mixed = [files[n] for n in order]
    assert dict(zip(mixed, duplicate_groups(mixed, 1), strict=True)) == groups


def test_same_names_in_different_folders_are_different_groups(tmp_path: Path) -> None:
    files = write(tmp_path, {"cat/1.jpg": jpeg(drawing(1)), "dog/1.jpg": jpeg(drawing(2))})
    assert duplicate_groups(files, 1) == ["cat/1.jpg", "dog/1.jpg"]


def test_plain_images_are_no_near_duplicates(tmp_path: Path) -> None:
    """The trap: skies and backgrounds correlate with one another and show nothing."""
    contents = {}
    ramp = np.linspace(0, 1, 48)[:, None, None]
    for n in range(12):
        sky = np.repeat(120 + 3 * n + 60 * ramp + np.array([0.0, 20, 60]), 48, axis=1)
        contents[f"sky{n}.jpg"] = jpeg(sky.clip(0, 255).astype(np.uint8))
        contents[f"plain{n}.jpg"] = jpeg(np.full((48, 48, 3), 15 * n, np.uint8))
    files = write(tmp_path, contents) + strangers(tmp_path)
    assert len(duplicates(scan(files, 2), 2)) == 0


def test_broken_images_are_groups_of_their_own(tmp_path: Path) -> None:
    junk = {"a.jpg": b"junk", "b.jpg": b"junk", "c.jpg": b"", "d.jpg": jpeg(drawing(0))}
    assert duplicate_groups(write(tmp_path, junk), 1) == list(junk)


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_few_images(tmp_path: Path, number: int) -> None:
    files = write(tmp_path, {f"{n}.jpg": jpeg(drawing(n)) for n in range(number)})
    assert duplicate_groups(files, 1) == [f"{n}.jpg" for n in range(number)]
    if files:
        twin = write(tmp_path, {"x.jpg": jpeg(drawing(0)[:, ::-1])})
        assert duplicate_groups(files + twin, 1)[-1] == "0.jpg"


def test_features_are_the_same_for_mirror_images() -> None:
    thumbs = np.stack([cv2.resize(drawing(n), (32, 32)) for n in range(8)])
    one, other = invariant_features(thumbs), invariant_features(thumbs[:, :, ::-1])
    np.testing.assert_allclose(one, other, atol=0.02)
    assert np.abs(one[0] - one[1]).max() > 1


def test_the_spectrum_of_a_mirror_image() -> None:
    thumbs = np.stack([cv2.resize(drawing(n), (32, 32)) for n in range(4)])
    wanted = spectrum(thumbs[:, :, ::-1])
    np.testing.assert_allclose(mirrored(spectrum(thumbs)), wanted, atol=1e-4)
    assert np.abs(wanted - spectrum(thumbs)).max() > 0.1


def test_alignment_tells_the_shift() -> None:
    thumbs = np.stack([cv2.resize(drawing(n), (32, 32)) for n in range(4)])
    moved = np.stack([shifted(thumb, 3, -2) for thumb in thumbs])
    shift, correlation = align(spectrum(thumbs), spectrum(moved))
    np.testing.assert_allclose(shift, [[-2, 3]] * 4, atol=0.25)
    assert (correlation > 0.6).all()


def test_digits_that_look_alike_are_not_copies(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    images = np.rint(load_digits().images[:500] * (255 / 16)).astype(np.uint8)
    named = {f"{n}.png": cv2.imencode(".png", image)[1].tobytes() for n, image in enumerate(images)}
    files = write(tmp_path, named | {"copy.png": named["7.png"]})
    files += write(
        tmp_path, {"large.png": cv2.imencode(".png", cv2.resize(images[9], (16, 16)))[1].tobytes()}
    )
    found = duplicates(scan(files, 2), 2)
    pairs = set(zip(found["a"], found["b"], strict=True))
    assert (7, 500) in pairs and (9, 501) in pairs
    assert len(pairs) <= 8  # and not hundreds
