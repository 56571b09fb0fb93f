"""Small competitions on disk: tables as text, images that cv2 wrote."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from foldwise.competition.layout import CompetitionData, load
from foldwise.config import Config

IMAGE = np.random.RandomState(0).randint(0, 255, (8, 8, 3), np.uint8)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOLDWISE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def settings() -> Callable[..., Config]:
    """settings(folds__k=3) is a Config with folds.k=3."""

    def make(**values: object) -> Config:
        config = Config()
        for key, value in values.items():
            *groups, name = key.split("__")
            part: object = config
            for group in groups:
                part = getattr(part, group)
            assert hasattr(part, name), key
            setattr(part, name, value)
        return config

    return make


@pytest.fixture
def place(home: Path) -> Callable[..., Path]:
    """place({"train.csv": "id,label…"}, ["train/1.png"]) writes input/x."""

    def write(
        tables: Mapping[str, str | bytes], images: Iterable[str] = (), slug: str = "x"
    ) -> Path:
        folder = home / "input" / slug
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in tables.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            data = content if isinstance(content, bytes) else content.encode()
            (folder / name).write_bytes(data)
        for name in images:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            suffix = Path(name).suffix.lower()
            known = (
                suffix if suffix in (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tiff") else ".png"
            )
            (folder / name).write_bytes(cv2.imencode(known, IMAGE)[1].tobytes())
        return folder

    return write


@pytest.fixture
def read(
    place: Callable[..., Path], settings: Callable[..., Config]
) -> Callable[..., CompetitionData]:
    """Writes a competition and loads it with settings."""

    def run(
        tables: Mapping[str, str | bytes], images: Iterable[str] = (), **values: object
    ) -> CompetitionData:
        place(tables, images)
        values.setdefault("competition__slug", "x")
        return load(settings(**values))

    return run
