"""A competition comes from Kaggle whole, in spite of the network, or with one line not at all."""

import json
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from foldwise.kaggle import client
from helpers import Ended, start
from kaggle_service.server import Server

WORDS = ("download", "competition=pets")
MB = 2**20  # the client writes a download by the megabyte
CUT = MB + MB // 2


@pytest.fixture(autouse=True)
def large(server: Server) -> None:
    """Some megabytes that no zip makes smaller."""
    noise = np.random.default_rng(0).bytes(3 * MB)
    (server.kaggle.competitions["pets"].files / "notes.bin").write_bytes(noise)


def laid_out(home: Path) -> bool:
    """input/pets is whole, and nothing is left of the download."""
    folder = home / "input" / "pets"
    images = len(list(folder.rglob("*.png")))
    return images == 80 and (folder / "train.csv").is_file() and not is_part(home)


def is_part(home: Path) -> bool:
    return (home / "input" / ".download" / "pets.zip").exists()


def refused(ended: Ended, *words: str, code: int = 1) -> None:
    assert ended.code == code, ended
    assert ended.err.count("\n") == 1 and "Traceback" not in ended.err, ended.err
    for word in words:
        assert word in ended.err, ended.err


def test_downloaded(server: Server, foldwise: Callable[..., Ended], home: Path) -> None:
    ended = foldwise(*WORDS)
    assert ended.code == 0, ended.err
    assert "input/pets is ready: ./run.sh competition=pets" in ended.out
    assert laid_out(home)
    refused(foldwise(*WORDS), "input/pets is there already")


@pytest.mark.parametrize("cut", [0, CUT])
def test_a_connection_that_is_cut(
    server: Server, foldwise: Callable[..., Ended], home: Path, cut: int
) -> None:
    server.fault("download", cut=cut, times=3)
    assert foldwise(*WORDS).code == 0
    assert laid_out(home)
    assert server.ranges == ([f"bytes={MB}-", f"bytes={2 * MB}-"] if cut else [])


def test_ctrl_c_and_again(server: Server, foldwise: Callable[..., Ended], home: Path) -> None:
    server.fault("download", cut=CUT, then=lambda: os.kill(os.getpid(), signal.SIGINT))
    ended = foldwise(*WORDS)
    assert ended.code == 130 and "To go on: ./run.sh download competition=pets" in ended.err
    part = home / "input" / ".download" / "pets.zip"
    assert part.stat().st_size == MB and not (home / "input" / "pets").exists()
    assert foldwise(*WORDS).code == 0
    assert laid_out(home) and server.ranges == [f"bytes={MB}-"]


def test_an_address_that_expires_while_a_part_is_there(
    server: Server, foldwise: Callable[..., Ended], home: Path
) -> None:
    """The client would write the error page into the file, and go on behind it the next time."""
    server.fault("download", cut=CUT)
    server.fault("download")  # the second try asks for an address, which works, and expires:
    server.fault("download", times=2, status=403)
    assert foldwise(*WORDS).code == 0
    assert laid_out(home)


def test_short_and_said_to_be_whole(
    server: Server, foldwise: Callable[..., Ended], home: Path
) -> None:
    server.fault("download", short=4000)
    ended = foldwise(*WORDS)
    assert ended.code == 0 and "no whole zip" in ended.err and laid_out(home)


def test_whole_and_without_a_file_that_is_listed(
    server: Server, foldwise: Callable[..., Ended], home: Path
) -> None:
    server.kaggle.lose_member = "train.csv"
    refused(foldwise(*WORDS), "pets.zip lacks train.csv, as Kaggle lists the files of pets")
    assert is_part(home) and not (home / "input" / "pets").exists()


def test_damaged_twice(server: Server, foldwise: Callable[..., Ended], home: Path) -> None:
    server.fault("download", short=4000, times=9)
    ended = foldwise(*WORDS)
    assert ended.code == 1 and ", twice: repeat" in ended.err.splitlines()[-1]
    assert not is_part(home) and not (home / "input" / "pets").exists()


def test_the_network_is_gone(server: Server, foldwise: Callable[..., Ended], home: Path) -> None:
    server.fault("download", cut=CUT)
    server.fault("download", cut=0, times=99)
    refused(foldwise(*WORDS), "downloading pets: no answer from Kaggle", "check the network")
    assert is_part(home)  # to go on with
    server.faults.clear()
    assert foldwise(*WORDS).code == 0
    assert laid_out(home) and server.ranges[-1] == f"bytes={MB}-"


def test_429_then_success(server: Server, foldwise: Callable[..., Ended], home: Path) -> None:
    server.fault("ListDataFiles", status=429, times=2, retry_after="0")
    server.fault("DownloadDataFiles", status=429, times=3)
    assert foldwise(*WORDS).code == 0
    assert laid_out(home)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"status": 500}, ("Kaggle has a fault of its own (fault 500)", "repeat")),
        ({"status": 429}, ("Kaggle wants fewer requests",)),
        ({"hang": True}, ("no answer from Kaggle (none within",)),
        ({"html": True}, ("no answer from Kaggle (a page in its place)",)),
        ({"cut": 0}, ("no answer from Kaggle",)),
        ({"status": 400, "message": "It is closed."}, ("Kaggle says no (400: It is closed.)",)),
    ],
)
def test_an_answer_that_is_none(
    server: Server, foldwise: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch,
    how: dict[str, object], words: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.setattr(client, "ANSWER", 0.2)
    server.fault("ListDataFiles", times=99, **how)
    refused(foldwise(*WORDS), "the files of pets", *words)
    assert server.asked("ListDataFiles") == (1 if how.get("status") == 400 else 4)


def test_rules_that_are_not_accepted(server: Server, foldwise: Callable[..., Ended]) -> None:
    server.kaggle.competitions["pets"].entered.clear()
    page = "https://www.kaggle.com/competitions/pets/rules"
    refused(foldwise(*WORDS), "You must accept this competition's rules", page)


def test_an_unknown_competition(server: Server, foldwise: Callable[..., Ended]) -> None:
    refused(
        foldwise("download", "competition=pest"), "knows no such competition",
        "https://www.kaggle.com/competitions/pest",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value"),
    [("KAGGLE_KEY", "f" * 32), ("KAGGLE_API_TOKEN", "KGAT_" + "0" * 32)],
)
def test_a_wrong_key(
    server: Server, foldwise: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch,
    name: str, value: str,
) -> None:  # fmt: skip
    """A wrong token is tried before a right key: the line says which it was."""
    monkeypatch.setenv(name, value)
    ended = foldwise(*WORDS)
    refused(ended, f"does not accept the credentials of {name}", "kaggle.com (Settings, API)")
    assert value not in ended.out + ended.err


def test_a_token(
    server: Server, foldwise: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.setenv("KAGGLE_API_TOKEN", "KGAT_" + "7" * 32)
    assert foldwise(*WORDS).code == 0 and laid_out(home)


def test_no_credentials(
    server: Server, foldwise: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_KEY")
    refused(foldwise(*WORDS), "there are no Kaggle credentials", "~/.kaggle/access_token")
    assert not server.seen


def test_a_legacy_file_and_what_is_secret(
    server: Server, user_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = os.environ["KAGGLE_KEY"]
    monkeypatch.delenv("KAGGLE_KEY")
    monkeypatch.delenv("KAGGLE_USERNAME")
    (user_home / ".kaggle").mkdir()
    file = user_home / ".kaggle" / "kaggle.json"
    file.write_text(json.dumps({"username": "ann"}))
    assert client.credentials() == ""
    file.write_text(json.dumps({"username": "ann", "key": key}))
    assert client.credentials() == "kaggle.json" and client.secrets() == [key]
    (user_home / ".kaggle" / "access_token").write_text("KGAT_" + "1" * 32)
    assert client.credentials() == "~/.kaggle/access_token"
    assert client.secrets() == ["KGAT_" + "1" * 32, key]


def test_a_full_disk(server: Server, home: Path) -> None:
    limit = 2 * MB

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    process = start(home, *WORDS, preexec_fn=limited)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "Traceback" not in err
    assert "no room to write" in err.splitlines()[-1]
    assert not is_part(home) and not (home / "input" / "pets").exists()
    process = start(home, *WORDS)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0 and laid_out(home), err
