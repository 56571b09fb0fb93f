"""A disk that fills up while a fold trains: one line, nothing half-written, and a way on."""

import resource
import subprocess
from pathlib import Path

import pytest

from foldwise.provenance import read_table
from helpers import QUICK, start, write_competition

# Wide enough that its checkpoint does not fit where the tables do.
COMMAND = ("competition=pets", *QUICK, "model.args={widths: [64, 64]}", "fold=0", "run=r")


def check(home: Path, code: int, err: str) -> None:
    assert code == 1, err
    assert "Traceback" not in err
    assert "no room to write" in err.splitlines()[-1]
    assert "last.ckpt" in err.splitlines()[-1]
    assert not list(home.glob("oof/**/*.tmp"))
    assert not list(home.glob("oof/**/last.ckpt"))


def test_a_limit_on_the_size_of_files(home: Path) -> None:
    write_competition(home / "input" / "pets")
    limit = 200_000

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = start(home, *COMMAND, preexec_fn=limited)
    _, err = process.communicate(timeout=300)
    check(home, process.returncode, err)
    process = start(home, *COMMAND)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    read_table(home / "oof" / "r" / "oof.parquet")


def test_a_disk_that_is_really_full(home: Path) -> None:
    write_competition(home / "input" / "pets")
    disk = home / "oof"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        process = start(home, *COMMAND)
        _, err = process.communicate(timeout=300)
        check(home, process.returncode, err)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
