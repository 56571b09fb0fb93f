import errno
import os
import subprocess
from pathlib import Path

import pytest

from foldwise import files
from foldwise.errors import FoldwiseError


def test_a_file_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "new" / "table.bin"
    with pytest.raises(RuntimeError), files.atomic(target) as file:
        file.write(b"half")
        raise RuntimeError("crash")
    assert not list(target.parent.iterdir())
    files.write_bytes(target, b"whole")
    assert target.read_bytes() == b"whole"
    assert [p.name for p in target.parent.iterdir()] == ["table.bin"]


def test_a_failed_rewrite_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "scores.json"
    files.write_text(target, "old")
    with pytest.raises(KeyError), files.atomic(target) as file:
        file.write(b"ne")
        raise KeyError
    assert target.read_text() == "old"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_line_even_inside_another_error(tmp_path: Path, code: int) -> None:
    with pytest.raises(FoldwiseError, match="no room to write"), files.atomic(tmp_path / "x"):
        try:
            raise OSError(code, "full")
        except OSError as error:
            raise RuntimeError("a library's own words") from error
    assert not list(tmp_path.iterdir())


def test_a_damaged_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text("{")
    with pytest.raises(FoldwiseError, match=r"scores\.json cannot be read"):
        files.read_json(tmp_path / "scores.json")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with pytest.raises(ZeroDivisionError), files.atomic_folder(target) as new:
        (new / "f").write_text("1")
        raise ZeroDivisionError
    assert names(tmp_path / "a") == []
    with files.atomic_folder(target) as new:
        (new / "f").write_text("1")
        assert not target.exists()
    assert names(tmp_path / "a") == ["b"]


def test_a_folder_takes_the_place_of_an_empty_one_only(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with files.atomic_folder(tmp_path / "b") as new:
        (new / "f").write_text("1")
    with pytest.raises(FileExistsError), files.atomic_folder(tmp_path / "b") as new:
        (new / "f").write_text("2")
    assert (tmp_path / "b" / "f").read_text() == "1"
    assert names(tmp_path) == ["b"]


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    alive = os.getppid()
    for process in (ended.pid, alive):
        (tmp_path / f".b.{process}.tmp").mkdir()
        (tmp_path / f".c.{process}.tmp").write_text("half")
    with files.atomic_folder(tmp_path / "b") as new:
        (new / "f").write_text("1")
    files.write_text(tmp_path / "c", "whole")
    assert names(tmp_path) == [f".b.{alive}.tmp", f".c.{alive}.tmp", "b", "c"]


@pytest.mark.parametrize(
    ("code", "message"), [(errno.ENOSPC, "no room to write"), (errno.EROFS, "cannot be written")]
)
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, code: int, message: str) -> None:
    for make in (files.atomic_folder, files.atomic):
        with pytest.raises(FoldwiseError, match=message), make(tmp_path / "b"):
            raise OSError(code, os.strerror(code))
    assert names(tmp_path) == []


def test_a_file_in_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "oof").write_text("")
    with pytest.raises(FoldwiseError, match="oof/r/x cannot be written"):
        files.write_text(tmp_path / "oof" / "r" / "x", "")
