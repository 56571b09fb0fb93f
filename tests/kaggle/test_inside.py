"""A kernel finds what it needs wherever Kaggle mounts it, and says what there is where not."""

import json
from pathlib import Path

import pytest

from foldwise.kaggle import dataset, inside


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(inside, "INPUT", tmp_path / "input")
    (tmp_path / "input").mkdir()
    return tmp_path / "input"


@pytest.mark.parametrize("place", ["pets", "competitions/pets", "a/b/c/pets"])
def test_a_competition_anywhere(mounted: Path, place: str) -> None:
    (mounted / "datasets" / "ann").mkdir(parents=True)
    (mounted / place / "train").mkdir(parents=True)
    assert inside.competition("pets") == mounted / place
    with pytest.raises(RuntimeError, match="the competition cats is not mounted: there is "):
        inside.competition("cats")


@pytest.mark.parametrize("place", ["weights", "datasets/ann/weights", "a/b/c/weights/versions/3"])
def test_a_data_set_anywhere_and_whole(
    mounted: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mounted / place
    folder.mkdir(parents=True)
    (folder / "fold0.model.safetensors").write_bytes(b"weights")
    (folder / "config.yaml").write_bytes(b"{}")
    files = {path.name: path for path in folder.iterdir()}
    marker, text = dataset.marked(files)
    with pytest.raises(RuntimeError, match=f"no data set with {marker} is mounted"):
        inside.dataset(marker)
    (folder / marker).write_bytes(text)
    assert inside.dataset(marker) == folder
    monkeypatch.setenv("FOLDWISE_HOME", "")  # restored sets another, for this process
    run = inside.restored("r", {"r": marker})
    assert (run.folder / "fold0" / "model.safetensors").read_bytes() == b"weights"
    assert run.config_file.read_bytes() == b"{}" and not (run.folder / marker).exists()
    (folder / "fold0.model.safetensors").write_bytes(b"weights, cut o")
    with pytest.raises(RuntimeError, match="is not what was uploaded"):
        inside.dataset(marker)


def test_the_list_of_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "oof" / "r").mkdir(parents=True)
    (tmp_path / "oof" / "r" / "x").write_text("12345")
    inside.write_manifest({"run": "r"}, [tmp_path / "oof" / "r"])
    listed = json.loads((tmp_path / "foldwise.json").read_text())
    assert listed["run"] == "r" and listed["files"]["oof/r/x"]["size"] == 5
