"""A zip is laid out under input/ whole or not at all, and nothing in it gets outside."""

import contextlib
import errno
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from foldwise.competition.layout import load
from foldwise.config import Config
from foldwise.errors import FoldwiseError
from foldwise.kaggle import archive
from foldwise.kaggle.download import download


def names(folder):
    """What is in a folder, hidden files too, sorted."""
    return sorted(path.name for path in folder.iterdir())


DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = {
    "train.csv": "id,label\n1,a\n2,b\n",
    "train/1.png": "1",
    "train/2.png": "2",
    "test/3.png": "3",
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("FOLDWISE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "input").mkdir()
    return tmp_path


@pytest.fixture
def zipped(home):
    """Writes x.zip with the given names and contents; a name may be a ZipInfo."""

    def write(files, compression=zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(home / "x.zip", "w", compression) as out:
            for name, content in files.items() if isinstance(files, dict) else files:
                out.writestr(name, content)
        return home / "x.zip"

    return write


def laid(home):
    folder = home / "input" / "x"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def special(name, mode, content="/etc/passwd"):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = mode << 16
    return info, content


def refused(home, source, message):
    with pytest.raises(FoldwiseError, match=message) as caught:
        download("x", source)
    assert caught.value.exit_code == 1 and "\n" not in str(caught.value)
    assert names(home / "input") == []
    assert names(home) in (["input"], ["input", "x.zip"])


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA]
)
def test_laid_out(zipped, home, capsys, compression):
    source = zipped(FILES, compression)
    assert download("x", source) == home / "input" / "x"
    assert laid(home) == sorted(FILES)
    assert (home / "input" / "x" / "train" / "1.png").read_text() == "1"
    out, err = capsys.readouterr()
    assert (
        out == "input/x: 4 files, 0 MB, from x.zip: test/ (1 files), train/ (2 files), train.csv\n"
    )
    assert err == ""  # no bar where the output is no terminal
    assert names(home / "input") == ["x"]


def test_times_and_modes(zipped, home):
    info, content = special("train.csv", stat.S_IFREG | 0o4777, "id,label\n")
    info.date_time = (2020, 2, 3, 4, 5, 6)
    download("x", zipped([(info, content)]))
    status = (home / "input" / "x" / "train.csv").stat()
    assert status.st_mode & 0o7111 == 0  # neither setuid nor executable, whatever the zip says
    assert abs(status.st_mtime - 1580702706) < 86400


@pytest.mark.parametrize("top", ["", "cifar-10/", "./"])
@pytest.mark.parametrize("files", [FILES, {k: v for k, v in FILES.items() if "/" in k}])
def test_a_single_top_folder_is_cut(zipped, home, top, files):
    download("x", zipped({top + name: content for name, content in files.items()}))
    assert laid(home) == sorted(files)


@pytest.mark.parametrize(
    "names", [["train/a/1.png", "train/b/2.png"], ["train_images/1.png"], ["photos/a/1.png"]]
)
def test_a_top_folder_with_a_meaning_stays(zipped, home, names):
    download("x", zipped(dict.fromkeys(names, "1")))
    assert laid(home) == names


def test_junk_is_left_out(zipped, home):
    junk = {"__MACOSX/train/._1.png": "", ".DS_Store": "", "train/.DS_Store": "", "empty/": ""}
    download("x", zipped({**FILES, **junk}))
    assert laid(home) == sorted(FILES)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "train/../../evil",
        "/etc/evil",
        "..\\evil",
        "train\\1.png",
        "C:evil",
        "c:/evil",
        "\\\\host\\evil",
    ],
)
def test_names_that_lead_outside(zipped, home, name):
    refused(home, zipped({**FILES, name: "x"}), "would be written outside the competition's folder")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[2Jb", "."])
def test_names_that_no_file_should_have(zipped, home, name):
    refused(home, zipped({**FILES, name: "x"}), r"member '.*' has a name that no file should have")


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        (stat.S_IFLNK, "is a link"),
        (stat.S_IFIFO, "is a device"),
        (stat.S_IFCHR, "is a device"),
        (stat.S_IFSOCK, "is a device"),
    ],
)
def test_links_and_devices(zipped, home, mode, message):
    refused(
        home,
        zipped([*FILES.items(), special("train/0.png", mode | 0o777)]),
        f"'train/0.png' {message}",
    )


def test_a_link_and_a_file_through_it(zipped, home):
    files = [special("train", stat.S_IFLNK | 0o777, "/tmp"), ("train/evil.png", "x")]
    refused(home, zipped(files), "'train' is a link")


def test_encrypted(zipped, home):
    source = zipped(FILES)
    data = bytearray(source.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1  # the flag in the central directory
    source.write_bytes(data)
    refused(home, source, "'train.csv' is encrypted")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "names", [["a", "a"], ["a", "./a"], ["a/b", "a"], ["a", "a/b"], ["a/b", "a//b"]]
)
def test_members_in_each_others_way(zipped, home, names):
    refused(home, zipped([(name, "x") for name in names]), "has 1 names twice")


def test_members_that_differ_by_case(zipped, home):
    """Both are laid out where the disk tells them apart, and refused where it does not."""
    source = zipped({"train/a.png": "1", "train/A.png": "2"})
    (home / "probe").touch()
    if (home / "PROBE").exists():
        refused(home, source, "where case does not count")
    else:
        download("x", source)
        assert laid(home) == ["train/A.png", "train/a.png"]


def test_damaged_member(zipped, home):
    source = zipped({**FILES, "train/9.png": "0123456789" * 10}, zipfile.ZIP_STORED)
    source.write_bytes(source.read_bytes().replace(b"0123456789", b"0123456798", 1))
    refused(home, source, "train/9.png cannot be unpacked .*CRC.*download the zip again")


def test_damaged_deflate_stream(zipped, home):
    source = zipped({"train/9.png": os.urandom(50) * 50})
    data = bytearray(source.read_bytes())
    data[45:60] = b"\xff" * 15
    source.write_bytes(data)
    refused(home, source, "train/9.png cannot be unpacked")


def test_a_size_that_lies(zipped, home):
    """A member that unpacks to more than it says is cut off there, and its CRC gives it away."""
    source = zipped({"train/9.png": "x" * 10_000})
    data = bytearray(source.read_bytes())
    at = data.index(b"PK\x01\x02")
    data[at + 24 : at + 28] = struct.pack("<L", 10)
    source.write_bytes(data)
    refused(home, source, "train/9.png cannot be unpacked")


def test_unknown_compression(zipped, home):
    source = zipped(FILES)
    data = bytearray(source.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = data.index(signature)
        data[at + offset] = 99
    source.write_bytes(data)
    refused(home, source, "train.csv cannot be unpacked .*compression")


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 half of one"])
def test_not_a_zip(home, content):
    (home / "x.zip").write_bytes(content)
    refused(home, home / "x.zip", "x.zip is not a zip, or only a part of one .*download it again")


def test_cut_off_zip(zipped, home):
    source = zipped(FILES)
    source.write_bytes(source.read_bytes()[:-30])
    refused(home, source, "x.zip is not a zip, or only a part")


def test_empty_zip(zipped, home):
    refused(home, zipped({}), "x.zip has no files in it")


def test_no_source(home):
    refused(home, Path("no.zip"), "from=no.zip: there is no such file")
    refused(home, Path("input"), "input cannot be read .*give the path of a zip")


def test_bomb(zipped, home, monkeypatch):
    monkeypatch.setattr(archive, "BOMB_BYTES", 2**20)
    refused(
        home, zipped({"train/1.png": "\0" * 2**22}), "over 100 times its size.*nothing was unpacked"
    )


def test_no_room(zipped, home, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr(archive.shutil, "disk_usage", lambda _: Usage)
    refused(home, zipped(FILES), "x.zip needs 0 MB, 0 MB are free at input: free some space")


def test_disk_that_fills_up(zipped, home, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archive.shutil, "copyfileobj", full)
    refused(home, zipped(FILES), "no room to write input")


def test_interrupted(zipped, home, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(archive.shutil, "copyfileobj", stop)
    with contextlib.suppress(KeyboardInterrupt):
        download("x", zipped(FILES))
    assert names(home / "input") == []


def test_existing_folder(zipped, home):
    download("x", zipped(FILES))
    with pytest.raises(FoldwiseError, match="input/x is there already: move it away"):
        download("x", zipped({**FILES, "train/4.png": "4"}))
    assert laid(home) == sorted(FILES) and names(home / "input") == ["x"]


def test_link_in_place_of_the_folder(zipped, home):
    (home / "elsewhere").mkdir()
    (home / "input" / "x").symlink_to(home / "elsewhere")
    with pytest.raises(FoldwiseError, match="input/x is a link or a file: remove it"):
        download("x", zipped(FILES))
    assert names(home / "elsewhere") == []


@pytest.mark.skipif(not (DATA / "cifar10.zip").exists(), reason="shared/data/cifar10.zip is absent")
def test_cifar10(home):
    download("cifar10", DATA / "cifar10.zip")
    config = Config()
    config.competition.slug = "cifar10"
    data = load(config)
    assert len(data.train) == 50_000 and len(data.test) == 10_000 and len(data.classes) == 10
    assert data.train.loc[0].to_dict() == {
        "id": "1",
        "label": "frog",
        "file": str(home / "input" / "cifar10" / "train" / "1.jpg"),
    }
    assert data.sample["id"].tolist() == data.test["id"].tolist()
