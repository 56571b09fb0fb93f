"""`runs`: the table in the terminal, and keeping oof/ in order."""

import io
import os
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from foldwise import runview, tidy
from foldwise.models.build import build_model
from foldwise.runs import Run
from foldwise.whole import combine
from helpers import QUICK, Ended
from report.made import make_run


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is at the terminal."""
    monkeypatch.setattr("sys.stdin", io.StringIO())


def answering(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """Somebody is at the terminal and says so."""
    reader, writer = os.openpty()
    os.write(writer, f"{answer}\n".encode())
    monkeypatch.setattr("sys.stdin", os.fdopen(reader, encoding="utf-8"))


def aged(path: Path, days: float) -> None:
    for one in (path, *path.rglob("*")):
        os.utime(one, (time.time() - days * 86400,) * 2)


def test_the_table_names_score_spread_and_what_differs(
    foldwise: Callable[..., Ended], home: Path
) -> None:
    make_run("plain", seed=1)
    make_run("better", skill=4.0, optimizer__lr=0.5)
    run = make_run("mixed", augment__preset="heavy", augment__rotate=20.0)
    out = foldwise("runs").out
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert list(lines).index("better") < list(lines).index("plain")
    assert f"{run.scores()['oof']:.4f}" in lines["mixed"] or "augment" in lines["mixed"]
    assert "better  optimizer.lr=0.5" in out
    assert "mixed   augment.preset=heavy\n" in out  # not each setting that the preset fills
    assert "5 of 5 folds" in out and "0:45" in out and "3 runs" in out
    assert foldwise("runs", "competition=mad").code == 1


def test_a_renamed_run_is_the_same_run(
    foldwise: Callable[..., Ended], pets: Path, home: Path
) -> None:
    words = ("competition=pets", *QUICK)
    assert foldwise(*words, "run=old").code == 0
    config = Run("old").config()
    network = build_model(config.model, 3, config.images.size).network
    assert runview.parameters(Run("old")) == sum(p.numel() for p in network.parameters())
    submission = (home / "submissions" / "old.csv").read_bytes()
    log = 'time,competition,run,message\n1,pets,old,"a, old one"\n2,pets,older,old\n'
    (home / "submissions" / "log.csv").write_text(log)
    table = (Run("old").folder / "oof.parquet").read_bytes()
    assert foldwise("report", "run=old").code == 0
    make_run("student", distill__run="old")
    ended = foldwise("runs", "rename", "run=old", "to=new")
    assert (ended.code, ended.err) == (0, "")
    assert "student has learned from old, and finds none of that name now" in ended.out
    assert "old is now new" in ended.out and "report run=new" in ended.out
    assert not Run("old").folder.exists() and not (home / "submissions" / "old.csv").exists()
    assert Run("new").config().run == "new"
    assert (Run("new").folder / "oof.parquet").read_bytes() == table
    renamed = log.replace("1,pets,old,", "1,pets,new,")
    assert (home / "submissions" / "log.csv").read_text() == renamed
    again = foldwise(*words, "run=new")  # it goes on under its new name
    assert again.code == 0 and "are finished" in again.out
    assert foldwise("submission", "run=new").code == 0
    assert (home / "submissions" / "new.csv").read_bytes() == submission


def test_renaming_never_overwrites(foldwise: Callable[..., Ended], home: Path) -> None:
    make_run("a")
    make_run("b")
    ended = foldwise("runs", "rename", "run=a", "to=b")
    assert (ended.code, "oof/b is there already" in ended.err) == (1, True)
    (home / "submissions").mkdir()
    for name in ("a", "c"):
        (home / "submissions" / f"{name}.csv").write_text(name)
    ended = foldwise("runs", "rename", "run=a", "to=c")
    assert (ended.code, "submissions/c.csv is there already" in ended.err) == (1, True)
    ended = foldwise("runs", "rename", "run=a", "to=../c")
    assert (ended.code, "cannot be a folder's name" in ended.err) == (2, True)
    ended = foldwise("runs", "rename", "run=a", "to=LOG")
    assert (ended.code, "to=LOG is taken: submissions/log.csv is" in ended.err) == (2, True)
    with Run("a").fold_log(3):
        for words in (("rename", "run=a", "to=d"), ("remove", "run=a", "yes=true")):
            ended = foldwise("runs", *words)
            assert (ended.code, "is being trained" in ended.err) == (1, True)
    assert Run("a").scores() and Run("b").scores()


def test_blends_are_named_when_a_member_goes(foldwise: Callable[..., Ended], home: Path) -> None:
    for name, skill in (("exp1", 1.0), ("exp2", 1.5)):
        make_run(name, skill=skill)
    assert foldwise("blend", "runs=exp*", "run=mix").code == 0
    said = foldwise("runs", "rename", "run=exp1", "to=other").out
    assert "mix is made of exp1, and finds none of that name now" in said
    ended = foldwise("runs", "remove", "run=exp2", "yes=true")
    assert "mix is made of exp2, and could not be made again" in ended.out and ended.code == 0


@pytest.mark.usefixtures("alone")
def test_removing_needs_a_yes(foldwise: Callable[..., Ended], home: Path) -> None:
    for name in ("exp1", "exp2", "other"):
        make_run(name)
    ended = foldwise("runs", "remove", "run=exp*")
    assert (ended.code, "yes=true" in ended.err, Run("exp1").folder.exists()) == (2, True, True)
    ended = foldwise("runs", "remove", "run=exp*,other1", "yes=true")
    assert (ended.code, "did you mean 'other'" in ended.err) == (1, True)
    assert foldwise("runs", "remove", "run=exp*", "yes=true").code == 0
    assert [path.name for path in (home / "oof").iterdir()] == ["other"]


def test_only_the_runs_of_a_competition_go(foldwise: Callable[..., Ended], home: Path) -> None:
    for name in ("exp1", "debug1"):
        make_run(name, debug=name == "debug1")
    for name in ("exp2", "debug2"):
        make_run(name, competition__slug="other", debug=name == "debug2")
    ended = foldwise("runs", "remove", "run=exp*", "competition=mad", "yes=true")
    assert (ended.code, "no run of mad; there are runs of made, other" in ended.err) == (1, True)
    ended = foldwise("runs", "remove", "run=exp1", "competition=other", "yes=true")
    assert (ended.code, "run=exp1 names no run of other" in ended.err) == (1, True)
    assert foldwise("runs", "remove", "run=exp*", "competition=other", "yes=true").code == 0
    assert foldwise("runs", "clean", "competition=other", "yes=true").code == 0
    assert sorted(path.name for path in (home / "oof").iterdir()) == ["debug1", "exp1"]
    assert foldwise("runs", "clean", "competition=mad", "yes=true").code == 1
    assert foldwise("report", "run=*", "competition=other").code == 1
    assert "\n2 runs, " in foldwise("runs").out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("runs run=a", "run= has no meaning in runs, which takes competition=: leave it out"),
        ("runs rename run=a to=b competition=made", "competition= has no meaning in runs rename"),
        ("runs compare run=a with=b competition=made", "has no meaning in runs compare"),
        ("runs clean run=a", "run= has no meaning in runs clean, which takes competition=, days="),
        ("report run=a runs=b", "leave it out beside run="),
    ],
)
def test_keys_without_a_meaning_are_refused(
    foldwise: Callable[..., Ended], home: Path, words: str, line: str
) -> None:
    ended = foldwise(*words.split())
    assert (ended.code, line in ended.err) == (2, True), ended.err


@pytest.mark.parametrize(("answer", "stays"), [("n", True), ("", True), ("y", False)])
def test_a_person_is_asked(
    foldwise: Callable[..., Ended],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    stays: bool,
) -> None:
    make_run("r")
    answering(monkeypatch, answer)
    ended = foldwise("runs", "remove", "run=r")
    assert ended.code == 0 and "delete 1 run, " in ended.err
    assert Run("r").folder.exists() == stays


@pytest.mark.usefixtures("alone")
def test_cleaning_takes_what_nobody_needs(foldwise: Callable[..., Ended], home: Path) -> None:
    make_run("debug", debug=True)
    make_run("fresh", folds=[], end=False).checkpoint(0)
    stale = make_run("stale", folds=[], end=False)
    whole, part = make_run("whole"), make_run("part", folds=[0])
    blend = make_run("blend")
    for fold in range(5):
        (blend.fold_folder(fold) / "model.safetensors").unlink()
    for run, fold in ((whole, 0), (part, 0), (part, 1), (part, 2)):
        run.fold_folder(fold).mkdir(exist_ok=True)
        run.checkpoint(fold).write_bytes(b"state")
    half = whole.folder / ".oof.parquet.999999999.tmp"
    half.write_bytes(b"half")
    (home / "oof" / ".gone.999999999.tmp").mkdir()
    for run in (stale, whole, part, blend):
        aged(run.folder, 8)
    part.checkpoint(2).touch()  # broken off just now: it can go on
    with part.fold_log(4):
        assert not any("part" in str(one.path) for one in tidy.leftovers(7))
    found = {str(one.path.relative_to(home / "oof")) for one in tidy.leftovers(7)}
    wanted = {"debug", "stale", "whole/fold0/last.ckpt", "part/fold0/last.ckpt"}
    wanted |= {"part/fold1/last.ckpt", "whole/.oof.parquet.999999999.tmp", ".gone.999999999.tmp"}
    assert found == wanted
    assert foldwise("runs", "clean").code == 2
    assert stale.folder.exists()
    ended = foldwise("runs", "clean", "yes=true")
    assert (ended.code, "MB freed" in ended.out) == (0, True)
    assert tidy.leftovers(7) == []
    assert whole.finished() == [0, 1, 2, 3, 4] and part.checkpoint(2).is_file()
    assert blend.scores() and Run("fresh").config_file.is_file()
    assert foldwise("runs", "clean", "yes=true").out == "nothing to clean\n"
    assert foldwise("runs", "clean", "days=soon").code == 2
    assert foldwise("runs", "clean", "days=0", "yes=true").code == 0
    assert not Run("fresh").folder.exists()


def test_wrong_words(foldwise: Callable[..., Ended], home: Path) -> None:
    assert "did you mean 'rename'" in foldwise("runs", "renam", "run=a", "to=b").err
    assert foldwise("runs", "rename", "run=a").code == 2
    assert "there is no run 'a'" in foldwise("runs", "rename", "run=a", "to=b").err


def test_the_rows_of_an_unfinished_run_are_those_of_its_folds(home: Path) -> None:
    run = make_run("r", folds=[0, 3], end=False)
    oof, origin = run.oof_table()
    assert sorted(oof["fold"].unique()) == [0, 3] and len(oof) == 160
    assert origin.held_out == []
    combine(run, [f"id{n:06d}" for n in range(400)])
    whole, _ = run.oof_table()
    pd.testing.assert_frame_equal(
        whole.sort_values("id", ignore_index=True), oof.sort_values("id", ignore_index=True)
    )
