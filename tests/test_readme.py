"""Every command of the README, run in the order in which it stands there."""

import re
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from foldwise.runs import Run
from helpers import CLONE, Ended, write_competition


def commands() -> list[list[str]]:
    text = (CLONE / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    assert all(line.startswith("./run.sh") for line in lines)
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.fixture
def pets_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """pets.zip in the current folder, as the README has it."""
    here = tmp_path / "here"
    here.mkdir()
    folder = write_competition(here / "pets")
    with zipfile.ZipFile(here / "pets.zip", "w") as archive:
        for path in folder.rglob("*"):
            archive.write(path, path.relative_to(folder))
    monkeypatch.chdir(here)
    return here / "pets.zip"


def test_the_main_job_on_digits(foldwise: Callable[..., Ended], home: Path) -> None:
    assert ["fold=0..4"] in commands()
    ended = foldwise("fold=0..4")
    assert ended.code == 0, ended.err
    assert Run("digits-default").scores()["oof"] >= 0.990
    truth = pd.read_csv(home / "input/digits/solution.csv", dtype=str).set_index("id")["label"]
    given = pd.read_csv(home / "submissions/digits-default.csv", dtype=str).set_index("id")["label"]
    assert (given == truth[given.index]).mean() >= 0.990


def test_every_other_command(foldwise: Callable[..., Ended], pets_zip: Path, home: Path) -> None:
    rest = [words for words in commands() if words not in (["fold=0..4"], ["test"])]
    assert len(rest) > 5
    for words in rest:
        ended = foldwise(*words)
        assert ended.code == 0, f"./run.sh {' '.join(words)}: {ended.err}"
    assert (home / "submissions" / "pets-default.csv").is_file()


def test_the_settings_that_the_readme_names_exist(foldwise: Callable[..., Ended]) -> None:
    text = (CLONE / "README.md").read_text(encoding="utf-8")
    known = foldwise("help", "train").out
    for key in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)=", text):
        assert f"  {key}=" in known, key
