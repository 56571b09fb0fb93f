"""A folder appears complete or not at all."""

import errno
import os
import time

import pytest

from foldwise.competition.folder import folder_of, new_folder, slug_of
from foldwise.errors import FoldwiseError


def names(folder):
    """What is in a folder, hidden files too, sorted."""
    return sorted(path.name for path in folder.iterdir())


def test_folder_of(home):
    assert folder_of("cifar10") == home / "input" / "cifar10"
    assert folder_of("data/../cifar10/") == home / "cifar10"
    assert folder_of(".") == home
    assert slug_of("cifar10") == slug_of("../data/cifar10/") == "cifar10"
    assert slug_of(".") == home.name


def test_complete_or_not_at_all(tmp_path):
    with pytest.raises(ZeroDivisionError), new_folder(tmp_path / "a" / "b") as new:
        (new / "f").write_text("1")
        raise ZeroDivisionError
    assert names(tmp_path / "a") == []
    with new_folder(tmp_path / "a" / "b") as new:
        (new / "f").write_text("1")
        assert not (tmp_path / "a" / "b").exists()
    assert names(tmp_path / "a") == ["b"]


def test_taken(tmp_path):
    (tmp_path / "b").mkdir()
    with new_folder(tmp_path / "b") as new:  # an empty folder is as good as none
        (new / "f").write_text("1")
    with pytest.raises(FileExistsError), new_folder(tmp_path / "b") as new:
        (new / "f").write_text("2")
    assert (tmp_path / "b" / "f").read_text() == "1" and names(tmp_path) == ["b"]


def test_replace_keeps_what_is_ours(tmp_path):
    (tmp_path / "b").mkdir()
    for name in ("folds.csv", "old"):
        (tmp_path / "b" / name).write_text("old")
    with new_folder(tmp_path / "b", replace=True, keep=["folds.csv", "absent"]) as new:
        (new / "folds.csv").write_text("new")
        (new / "f").write_text("new")
    assert names(tmp_path / "b") == ["f", "folds.csv"]
    assert (tmp_path / "b" / "folds.csv").read_text() == "old"
    assert names(tmp_path) == ["b"]


def test_what_a_killed_call_left(tmp_path):
    for name in (".b.1.x.tmp", ".b.2.x.tmp", ".b.3.x.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    os.utime(tmp_path / ".b.1.x.tmp", (time.time() - 1e6,) * 2)
    with pytest.raises(FileExistsError), new_folder(tmp_path / "b") as new:
        (new / "f").write_text("2")
    # The old folder is back in its place; only the temporary one that nobody can be at is gone.
    assert names(tmp_path) == [".b.2.x.tmp", "b"]
    assert (tmp_path / "b" / "f").read_text() == ".b.3.x.old"


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "no room to write"), (errno.EROFS, "cannot be written")]
)
def test_disk_errors(tmp_path, code, message):
    with pytest.raises(FoldwiseError, match=message), new_folder(tmp_path / "b"):
        raise OSError(code, os.strerror(code))
    assert names(tmp_path) == []
