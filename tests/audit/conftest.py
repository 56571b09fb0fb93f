"""Small competitions of drawn images, with whatever a test hides in them."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from foldwise.competition.layout import CompetitionData, load
from foldwise.config import Config


def drawing(seed: int, side: int = 48) -> np.ndarray:
    """Blobs and lines in colour, a little like a photograph: uint8 (side, side, 3)."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), rng.integers(0, 256, 3), np.uint8)
    image = cv2.add(
        image, cv2.resize(rng.integers(0, 60, (4, 4, 3)).astype(np.uint8), (side, side))
    )
    for _ in range(14):
        colour = [int(value) for value in rng.integers(0, 256, 3)]
        x, y, a, b = (int(value) for value in rng.integers(0, side, 4))
        if rng.random() < 0.6:
            cv2.ellipse(image, (x, y), (a // 4 + 2, b // 5 + 2), a, 0, 360, colour, -1, cv2.LINE_AA)
        else:
            cv2.line(image, (x, y), (a, b), colour, 2, cv2.LINE_AA)
    return image


def jpeg(image: np.ndarray, quality: int = 92) -> bytes:
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


@pytest.fixture
def competition(home: Path) -> Callable[..., CompetitionData]:
    """competition(train={id: (label, bytes)}, test={id: bytes}) writes and loads input/x."""

    def make(train: dict[str, tuple[str, bytes]], test: dict[str, bytes]) -> CompetitionData:
        folder = home / "input" / "x"
        for part, images in (("train", {k: v[1] for k, v in train.items()}), ("test", test)):
            for name, content in images.items():
                (folder / part).mkdir(parents=True, exist_ok=True)
                (folder / part / f"{name}.jpg").write_bytes(content)
        rows = "".join(f"{name},{label}\n" for name, (label, _) in train.items())
        (folder / "train.csv").write_text("id,label\n" + rows)
        if test:
            rows = "".join(f"{name},a\n" for name in test)
            (folder / "sample_submission.csv").write_text("id,label\n" + rows)
        config = Config()
        config.competition.slug = "x"
        config.images.missing = "drop"
        return load(config)

    return make
