"""What is noted about each image, whatever it is."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from audit.conftest import drawing, jpeg
from foldwise import containers
from foldwise.audit import scan as scans
from foldwise.audit.scan import pixels, scan
from foldwise.containers import JOINED

RAMP = np.linspace(0, 255, 40 * 30).reshape(40, 30).astype(np.uint8)


def test_odd_files_are_read(tmp_path: Path) -> None:
    images = {
        "gray.png": Image.fromarray(RAMP),
        "deep.png": Image.fromarray(RAMP.astype(np.uint16) * 257),
        "alpha.png": Image.fromarray(np.dstack([RAMP] * 4)),
        "palette.png": Image.fromarray(RAMP).convert("P"),
        "dot.png": Image.fromarray(RAMP[:1, :1]),
        "line.png": Image.fromarray(RAMP[:1]),
    }
    for name, image in images.items():
        image.save(tmp_path / name)
    facts = scan([str(tmp_path / name) for name in images], 2).facts
    assert (facts["problem"] == "").all()
    assert facts["mode"].tolist() == ["L", "I;16", "RGBA", "P", "L", "L"]
    assert facts["width"].tolist() == [30, 30, 30, 30, 1, 30]
    assert facts["height"].tolist() == [40, 40, 40, 40, 1, 1]
    assert facts[scans.CONTENT].notna().all(axis=None)


def test_header_facts(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[scans.ORIENTATION] = 6
    Image.fromarray(drawing(0)[:, :30]).save(tmp_path / "x.jpg", exif=exif, quality=90)
    row = scan([str(tmp_path / "x.jpg")], 1).facts.iloc[0]
    assert (row["orientation"], row["format"], row["mode"]) == (6, "JPEG", "RGB")
    assert (row["width"], row["height"]) == (48, 30)
    assert row["bytes"] == (tmp_path / "x.jpg").stat().st_size
    assert 0 < row["quality"] < 20


def test_broken_and_missing_files_are_noted(tmp_path: Path) -> None:
    (tmp_path / "junk.jpg").write_bytes(b"junk")
    (tmp_path / "cut.jpg").write_bytes(jpeg(drawing(0))[:300])
    (tmp_path / "good.jpg").write_bytes(jpeg(drawing(0)))
    names = ["junk.jpg", "cut.jpg", "gone.jpg", "good.jpg"]
    found = scan([*(str(tmp_path / name) for name in names), ""], 2)
    assert found.whole.tolist() == [False, False, False, True, False]
    assert all(found.facts["problem"][[0, 1, 2, 4]])


def test_images_in_containers_have_pixels_and_no_header(tmp_path: Path) -> None:
    names = containers.keep(tmp_path / "train.npz", "x_train", np.stack([drawing(3), drawing(4)]))
    names += containers.keep(tmp_path / "t.parquet", "", [jpeg(drawing(3))])
    found = scan(names, 1)
    assert found.whole.all()
    assert found.facts[["bytes", "mtime", "quality", "orientation"]].isna().all(axis=None)
    assert found.facts["format"].isna().all()
    assert found.facts["digest"].nunique() == 3


def test_rows_of_several_images(tmp_path: Path) -> None:
    for n in range(2):
        cv2.imwrite(str(tmp_path / f"{n}.png"), drawing(n))
    both = JOINED.join([f"{tmp_path / '0.png'}", f"{tmp_path / '1.png'}"])
    assert pixels(both).shape == (96, 48, 3)
    facts = scan([both, str(tmp_path / "0.png")], 1).facts
    assert facts["bytes"][0] > facts["bytes"][1]
    assert facts["digest"].nunique() == 2
