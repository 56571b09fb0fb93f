import errno
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
