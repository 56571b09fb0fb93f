"""A kernel finds what it needs wherever Kaggle mounts it, and says what there is where not."""

import json
import os
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


TRAINING = """\
import os, pathlib, sys, time
named = dict(word.split("=", 1) for word in sys.argv[2:])
gpu, run = os.environ["CUDA_VISIBLE_DEVICES"], pathlib.Path("oof") / named["run"]
(run / f"begun{gpu}").parent.mkdir(parents=True, exist_ok=True)
(run / f"begun{gpu}").touch()
while len(list(run.glob("begun*"))) < 2:  # the other one trains at the same time
    time.sleep(0.01)
for fold in named["fold"].split(","):
    (run / f"fold{fold}").mkdir()
    (run / f"fold{fold}" / "model.safetensors").write_text(gpu)
"""


def test_a_gpu_for_each_of_two_folds(
    mounted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T4 x2: what trains there is the command itself, once for each GPU."""
    tool = tmp_path / "bin" / "nvidia-smi"
    tool.parent.mkdir()
    tool.write_text(
        "#!/bin/sh\necho 'GPU 0: Tesla T4 (UUID: 1)'\necho 'GPU 1: Tesla T4 (UUID: 2)'\n"
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    (mounted / "pets").mkdir()
    code = tmp_path / "code"
    (code / "foldwise").mkdir(parents=True)
    (code / "competition").mkdir()
    (code / "foldwise" / "__init__.py").touch()
    (code / "foldwise" / "__main__.py").write_text(TRAINING)
    monkeypatch.setattr(inside, "CODE", code)
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    inside.train("r", "pets", [0, 1, 2, 3, 4], hours=0.01)
    on = [Path(f"oof/r/fold{k}/model.safetensors").read_text() for k in range(5)]
    assert on == ["0", "1", "0", "1", "0"]
    listed = json.loads(Path("foldwise.json").read_text())
    assert listed["codes"] == [0, 0] and set(listed["folds"].values()) == {"finished"}


def test_the_list_of_what_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "oof" / "r").mkdir(parents=True)
    (tmp_path / "oof" / "r" / "x").write_text("12345")
    inside.write_manifest({"run": "r"}, [tmp_path / "oof" / "r"])
    listed = json.loads((tmp_path / "foldwise.json").read_text())
    assert listed["run"] == "r" and listed["files"]["oof/r/x"]["size"] == 5
