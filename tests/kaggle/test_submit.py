"""A submission is sent once, whatever the network does, and its score is written down."""

import csv
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from foldwise.kaggle import client, log
from helpers import QUICK, Ended, start, write_run
from kaggle_service.server import Server

WORDS = ("submit", "run=one")


@pytest.fixture
def one(server: Server, pets: Path) -> None:
    """The run `one` of pets."""
    write_run("one")


def rows(home: Path) -> list[dict[str, str]]:
    with (home / "submissions" / "log.csv").open() as file:
        return list(csv.DictReader(file))


def refused(ended: Ended, *words: str, code: int = 1) -> None:
    assert ended.code == code, ended
    line = ended.err.splitlines()[-1]
    assert line.startswith("foldwise: ") and "Traceback" not in ended.err
    for word in words:
        assert word in line, line


def test_sent_and_scored(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    ended = foldwise(*WORDS, "message=first try")
    assert ended.code == 0, ended.err
    sent = server.kaggle.submissions
    assert len(sent) == 1 and sent[0]["fileName"] == "one.csv"
    assert re.fullmatch(r"first try \[fw-[0-9a-f]{8}\]", sent[0]["description"])
    (row,) = rows(home)
    assert list(row) == list(log.COLUMNS)
    assert row["competition"] == "pets" and row["run"] == "one" and row["status"] == "complete"
    assert row["public"] == sent[0]["publicScore"] and row["private"] == ""
    assert row["ref"] == "1000" and len(row["file_sha256"]) == 64 and row["cv"]
    assert f"one: public {row['public']}, CV {row['cv']} (submission 1000)" in ended.out
    assert "(4 more today)" in ended.err

    refused(foldwise(*WORDS), "this very submission was sent", "again=true")
    assert foldwise(*WORDS, "again=true").code == 0
    assert len(sent) == 2 and len(rows(home)) == 2


@pytest.mark.parametrize(
    ("where", "how"),
    [
        ("GetSubmissionLimits", {"status": 429, "times": 3}),
        ("StartSubmissionUpload", {"status": 500, "times": 2}),
        ("upload", {"cut": 10}),
        ("upload", {"status": 503}),
        ("upload", {"status": 400, "times": 2}),
        ("CreateSubmission", {"status": 429, "times": 2}),
        ("CreateSubmission", {"status": 503}),
        ("CreateSubmission", {"cut": 0}),
        ("CreateSubmission", {"lost": True}),
        ("ListSubmissions", {"status": 500, "times": 3}),
    ],
)
def test_sent_once_in_spite_of_it(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path,
    where: str, how: dict[str, object],
) -> None:  # fmt: skip
    server.fault(where, **how)
    assert foldwise(*WORDS).code == 0
    assert len(server.kaggle.submissions) == 1
    assert [row["status"] for row in rows(home)] == ["complete"]
    if how.get("lost"):
        assert server.asked("CreateSubmission") == 1


def test_the_answer_is_lost_and_nothing_can_be_looked_up(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    server.fault("CreateSubmission", lost=True)
    server.fault("ListSubmissions", status=502, times=99)
    refused(foldwise(*WORDS), "nor can be seen whether it arrived", "looks for it first")
    assert [row["status"] for row in rows(home)] == ["sending"]
    server.faults.clear()
    assert foldwise(*WORDS).code == 0
    assert len(server.kaggle.submissions) == 1
    assert [row["status"] for row in rows(home)] == ["complete"]


def test_the_network_goes_before_it_is_sent(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    server.fault("CreateSubmission", cut=0, times=99)
    refused(foldwise(*WORDS), "no answer from Kaggle", "does not show it")
    server.faults.clear()
    assert foldwise(*WORDS).code == 0
    assert len(server.kaggle.submissions) == 1 and len(rows(home)) == 1


@pytest.mark.parametrize("where", ["upload", "CreateSubmission", "ListSubmissions"])
def test_killed_on_the_way(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path, where: str
) -> None:
    server.fault(where, then=lambda: os.kill(os.getpid(), signal.SIGINT))
    assert foldwise(*WORDS).code == 130
    assert foldwise(*WORDS).code == 0
    assert len(server.kaggle.submissions) == 1
    assert [row["status"] for row in rows(home)] == ["complete"]


@pytest.mark.parametrize("where", ["GetSubmissionLimits", "StartSubmissionUpload", "upload"])
def test_500_for_ever_sends_nothing(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path, where: str
) -> None:
    server.fault(where, status=500, times=99)
    ended = foldwise(*WORDS)
    assert ended.code == 1 and "repeat the command later" in ended.err
    assert not server.kaggle.submissions and not (home / "submissions" / "log.csv").exists()


def test_an_answer_that_never_comes(
    server: Server, one: None, foldwise: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "ANSWER", 0.2)
    server.fault("GetSubmissionLimits", hang=True, times=99)
    refused(foldwise(*WORDS), "the limits of pets: no answer from Kaggle (none within 0 s)")


def test_the_quota_is_used_up(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    server.kaggle.competitions["pets"].daily = 1
    assert foldwise(*WORDS).code == 0
    write_run("two", right=0.5)
    refused(
        foldwise("submit", "run=two"), "today's 1 submissions are used up", "from 00:00 UTC on, in "
    )
    assert server.asked("upload") == 1 and len(rows(home)) == 1


def test_the_quota_is_used_up_meanwhile(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    message = "Your team has used its daily Submission allowance (5) today"
    server.fault("CreateSubmission", status=400, message=message)
    refused(foldwise(*WORDS), message, "nothing was submitted")
    assert rows(home) == []


def test_a_full_disk(server: Server, one: None, foldwise: Callable[..., Ended], home: Path) -> None:
    """What cannot be written down is not sent."""
    assert foldwise("submission", "run=one").code == 0

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    process = start(home, *WORDS, preexec_fn=limited)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "no room to write submissions/log.csv" in err, err
    assert not server.kaggle.submissions
    assert foldwise(*WORDS).code == 0
    assert len(server.kaggle.submissions) == 1 and len(rows(home)) == 1


@pytest.mark.parametrize("code", ["wrong key", "rules", "unknown"])
def test_no_access(
    server: Server, one: None, foldwise: Callable[..., Ended], code: str,
    monkeypatch: pytest.MonkeyPatch, home: Path,
) -> None:  # fmt: skip
    if code == "wrong key":
        monkeypatch.setenv("KAGGLE_KEY", "f" * 32)
        refused(foldwise(*WORDS), "does not accept the credentials of KAGGLE_KEY")
    elif code == "rules":
        server.kaggle.competitions["pets"].entered.clear()
        refused(foldwise(*WORDS), "accept the rules on https://www.kaggle.com/competitions/pets")
    else:
        refused(foldwise(*WORDS, "competition=pest"), "or is the name another?")
    assert not server.kaggle.submissions and not (home / "submissions" / "log.csv").exists()


def test_kernels_only(server: Server, one: None, foldwise: Callable[..., Ended]) -> None:
    server.kaggle.competitions["pets"].notebooks_only = True
    refused(foldwise(*WORDS), "only accepts Submissions from Notebooks", "./run.sh kernel infer")


def test_an_error_in_place_of_the_score(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    server.kaggle.scoring_error = "Evaluation Exception: bad column"
    refused(foldwise(*WORDS), "no score, error: Evaluation Exception: bad column")
    assert rows(home)[0]["status"] == "error: Evaluation Exception: bad column"


def test_a_score_that_never_comes(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    server.kaggle.never_scored = True
    refused(foldwise(*WORDS, "wait=0.002"), "has no score after 0.002 minutes", "goes on waiting")
    assert rows(home)[0]["status"] == "pending"
    found = server.kaggle.competitions["pets"]
    server.kaggle.never_scored = False
    name = next(iter(server.kaggle.blobs))
    server.kaggle.grade(found, server.kaggle.submissions[0], server.kaggle.blobs[name])
    assert foldwise(*WORDS).code == 0
    assert len(server.kaggle.submissions) == 1 and rows(home)[0]["status"] == "complete"


def test_faults_of_the_file_are_found_first(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    assert foldwise("submission", "run=one").code == 0
    path = home / "submissions" / "one.csv"
    path.write_text(path.read_text().replace("te001,", "te999,"))
    again = "./run.sh submission run=one writes it again, ./run.sh submit run=one file="
    refused(foldwise(*WORDS), "submissions/one.csv is not what oof/one/ says now", again)
    refused(foldwise(*WORDS, "file=submissions/one.csv"), "lacks 1 ids: te001", "mend it")
    assert not server.seen


def test_offline(server: Server, one: None, foldwise: Callable[..., Ended], home: Path) -> None:
    solution = home / "input" / "pets" / "solution.csv"
    lines = solution.read_text().splitlines()
    halves = [line.replace("Public", "Private") if n > 10 else line for n, line in enumerate(lines)]
    solution.write_text("\n".join(halves) + "\n")
    ended = foldwise(*WORDS, "offline=true")
    assert ended.code == 0 and "public 0." in ended.out and "private 0." in ended.out, ended
    assert foldwise(*WORDS, "offline=true").code == 0
    assert [row["status"] for row in rows(home)] == ["offline"]  # graded twice, one row
    assert not server.seen
    solution.unlink()
    refused(foldwise(*WORDS, "offline=true"), "has no solution.csv")


def test_a_file_of_an_earlier_run_is_not_sent(
    pets: Path, foldwise: Callable[..., Ended], home: Path
) -> None:
    words = ("competition=pets", "folds.k=3", *QUICK, "run=a")
    assert foldwise(*words, "fold=0").code == 0
    ended = foldwise("submission", "run=a")
    assert (ended.out, ended.code) == ("submissions/a.csv\n", 0)
    assert "a: 1 of 3 folds are finished\n" in ended.err
    assert "1 of 3 folds" in foldwise("submit", "run=a", "offline=true").err
    assert foldwise(*words, "fold=1").code == 0
    stale = "submissions/a.csv is not what oof/a/ says now: ./run.sh submission run=a writes it "
    refused(foldwise("submit", "run=a", "offline=true"), stale)
    assert foldwise("submission", "run=a").code == 0
    assert foldwise("submit", "run=a", "offline=true").code == 0
    assert foldwise("runs", "remove", "run=a", "yes=true").code == 0
    assert foldwise(*words, "fold=0,1", "seed=5").code == 0
    refused(foldwise("submit", "run=a", "offline=true"), stale)
    assert foldwise(*words, "seed=5").code == 0  # all folds: it is written again
    ended = foldwise("submit", "run=a", "offline=true")
    assert ended.code == 0 and "folds" not in ended.err
    assert len({row["file_sha256"] for row in rows(home)}) == len(rows(home)) == 3


def test_a_file_is_sent_as_it_is(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    assert foldwise("submission", "run=one").code == 0
    path = home / "submissions" / "one.csv"
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([head, *reversed(lines)]) + "\n")
    refused(foldwise(*WORDS), "file=submissions/one.csv sends it as it is")
    ended = foldwise(*WORDS, "file=submissions/one.csv")
    assert ended.code == 0 and "one:one.csv: public 0." in ended.out and "CV - " in ended.out
    (row,) = rows(home)
    assert (row["run"], row["cv"], row["recipe_hash"]) == ("one:one.csv", "", "")
    assert row["message"].startswith("one.csv, as it is [fw-")
    assert "one:one.csv" in foldwise("leaderboard", "competition=pets", "offline=true").out
    for name in ("first", "second"):  # the same words, another file: another row
        path.write_text("\n".join([head, *sorted(lines, reverse=name == "first")]) + "\n")
        words = (f"file={path}", "offline=true", "message=by hand")
        assert foldwise(*WORDS, *words).code == 0
    assert [row["status"] for row in rows(home)] == ["complete", "offline", "offline"]
    refused(foldwise(*WORDS, "file=none.csv"), "file=none.csv is not there")
    refused(foldwise(*WORDS, f"file={path}", "tta=flip"), "leave tta= out", code=2)


def test_other_views_of_a_run(pets: Path, foldwise: Callable[..., Ended], home: Path) -> None:
    words = ("competition=pets", "folds.k=2", *QUICK)
    assert foldwise(*words, "run=b", "fold=0").code == 0
    first = "b has no predictions with tta=flip (folds 0; there are none): ./run.sh predict run=b"
    for verb in ("submission", "submit"):
        refused(foldwise(verb, "run=b", "tta=hflip,plain"), first)
    ended = foldwise("predict", "run=b", "tta=hflip,plain")
    assert ended.out.endswith("./run.sh submit run=b tta=flip submits them\n")
    assert foldwise(*words, "run=b").code == 0
    refused(foldwise("submission", "run=b", "tta=flip"), "(folds 1; there are flip)")
    assert "submit" not in foldwise("predict", "run=b", "tta=d4", "fold=1").out
    assert foldwise("predict", "run=b", "tta=flip", "fold=1").code == 0

    assert foldwise(*words, "run=trained", "tta=flip").code == 0
    assert foldwise("submission", "run=b", "tta=plain,hflip").out == "submissions/b.flip.csv\n"
    files = [home / "submissions" / f"{name}.csv" for name in ("b.flip", "trained")]
    assert files[0].read_bytes() == files[1].read_bytes() != b""
    own = files[0].read_text()
    files[0].write_text("stale")
    again = "./run.sh submission run=b tta=flip writes it again"
    refused(foldwise("submit", "run=b", "tta=flip", "offline=true"), again)
    files[0].write_text(own)
    for wanted in ("run=b tta=flip", "run=trained", "run=b"):
        assert foldwise("submit", *wanted.split(), "offline=true").code == 0
    flip, trained, own = rows(home)
    assert [flip["run"], own["run"]] == ["b:flip", "b"]
    same = ("cv", "public", "private", "file_sha256", "recipe_hash")
    assert [flip[key] for key in same] == [trained[key] for key in same]
    assert own["recipe_hash"] != flip["recipe_hash"]
    assert flip["message"] == f"b:flip, CV {flip['cv']}"
    assert "b:flip " in foldwise("leaderboard", "competition=pets", "offline=true").out

    assert foldwise("runs", "rename", "run=b", "to=c").code == 0
    assert [row["run"] for row in rows(home)] == ["c:flip", "trained", "c"]
    assert (home / "submissions" / "c.flip.csv").is_file() and not files[0].exists()
    assert foldwise("blend", "runs=c,c:flip", "weights=0,1", "run=c.flip").code == 0
    assert (home / "submissions" / "c.flip.csv").read_bytes() == files[1].read_bytes()
    refused(foldwise("submit", "run=c", "tta=flip"), "c.flip.csv is that of the run c.flip")
    refused(foldwise("submission", "run=c.flip", "tta=flip"), "c.flip is a blend")
    refused(foldwise("submission", "run=c", "tta=flp"), "there is no view 'flp'", code=2)


def test_the_plain_client_sends_the_file_too(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    assert foldwise("submission", "run=one").code == 0
    words = ["competitions", "submit", "pets", "-f", "submissions/one.csv", "-m", "by hand"]
    done = subprocess.run(
        [sys.executable, "-m", "kaggle", *words], cwd=home, capture_output=True, text=True
    )
    assert "Successfully submitted to Pets" in done.stdout, done.stdout + done.stderr
    assert server.kaggle.submissions[0]["status"] == "COMPLETE"


def test_no_better_than_one_answer(
    server: Server, pets: Path, foldwise: Callable[..., Ended]
) -> None:
    write_run("poor", right=0.1)
    assert "is no better than that of one answer" in foldwise("submit", "run=poor").err


def test_leaderboard(server: Server, one: None, foldwise: Callable[..., Ended], home: Path) -> None:
    refused(foldwise("leaderboard", "competition=pets"), "nothing was submitted to pets")
    for name, right in (("two", 0.5), ("three", 0.95)):
        write_run(name, right)
    for name in ("one", "two", "three"):
        assert foldwise("submit", f"run={name}").code == 0
    server.kaggle.competitions["pets"].over = True
    for entry in server.kaggle.submissions:
        entry["privateScore"] = "0.12345"
    ended = foldwise("leaderboard", "competition=pets")
    assert ended.code == 0, ended.err
    table = [line.split() for line in ended.out.splitlines()]
    assert [words[0] for words in table[1:4]] == ["three", "one", "two"]
    assert table[1][3] == "0.1235" and rows(home)[0]["private"] == "0.12345"
    assert "correlation of CV and public: " in ended.out
    assert re.search(r"pets: place \d of 3 \(top \d+ %\); the best score is ", ended.out)
    asked = len(server.seen)
    assert foldwise("leaderboard", "competition=pets", "offline=true").out in ended.out
    assert len(server.seen) == asked


@pytest.mark.parametrize("word", ["offline=yes", "wait=-1", "wait=soon", "agian=true"])
def test_wrong_words(foldwise: Callable[..., Ended], word: str) -> None:
    assert foldwise(*WORDS, word).code == 2


def test_a_log_that_is_no_log(
    server: Server, one: None, foldwise: Callable[..., Ended], home: Path
) -> None:
    (home / "submissions").mkdir()
    (home / "submissions" / "log.csv").write_text("a,b\n1,2\n")
    refused(foldwise(*WORDS), "log.csv has no column time")
    assert not server.kaggle.submissions
