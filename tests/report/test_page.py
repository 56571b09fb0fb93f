"""`report` as a command: a whole page of every kind of run, of odd ones too."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise import runview
from foldwise.runs import Run
from helpers import CLONE, QUICK, Ended, write_competition
from report.made import HARD, make_run

VOID = {"meta", "br", "img", "input", "link", "hr", "image", "path", "use", "rect"}
ODD = {
    "never": {"never": ["bee"]},
    "single": {"folds": [1], "classes": ["no", "yes"]},
    "multilabel": {"task": "multilabel"},
    "right": {"task": "ordinal", "classes": ["0", "1", "2"], "skill": 90.0},
    "numbers": {"task": "regression", "classes": ["x", "y"], "rows": 3000},
    "thousand": {"classes": [f"c{n:04d}" for n in range(1000)], "rows": 2000},
    "unfinished": {"end": False, "folds": [0, 3]},
}


class Page(HTMLParser):
    """Every tag is closed in its order; what the page would fetch, its ids and texts are kept."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.words: list[str] = []
        self.size = path.stat().st_size
        self.feed(path.read_text(encoding="utf-8"))
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.add(given.get("id") or "")
        self.fetched += [given[key] or "" for key in ("src", "xlink:href") if key in given]
        if tag in ("a", "link"):
            self.links.append(given.get("href") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def whole(self) -> bool:
        """Nothing is fetched from anywhere, and the list of sections leads to them."""
        inside = all(one.startswith(("data:", "#")) for one in self.fetched)
        leads = all(one[1:] in self.ids for one in self.links if one.startswith("#"))
        return inside and leads and self.size < 5_000_000


@pytest.mark.parametrize("kind", ODD)
def test_every_kind_of_run_has_a_whole_page(
    foldwise: Callable[..., Ended], home: Path, kind: str
) -> None:
    run = make_run("r", **ODD[kind])  # type: ignore[arg-type]
    ended = foldwise("report", "run=r")
    assert ended.code == 0, ended.err
    page = Page(run.report_folder / "report.html")
    assert page.whole()
    analysis = json.loads((run.report_folder / "analysis.json").read_text())
    score = f"{analysis['scores']['oof']:.4f}"
    assert score in page.text
    assert score in (run.report_folder / "analysis.txt").read_text()
    assert ("Never said: bee (" in page.text) == (kind == "never")
    figures = {path.stem for path in run.report_folder.glob("*.png")}
    kinds = {"numbers"} if "numbers" in analysis else {"confusion", "classes", "reliability"}
    assert {"loss", "validation", "learning_rate", "combined", "folds"} | kinds <= figures


def test_names_are_text_and_nothing_else(foldwise: Callable[..., Ended], home: Path) -> None:
    make_run("r", classes=HARD)
    make_run("s", classes=HARD, seed=1)
    assert foldwise("report", "run=r").code == 0
    assert foldwise("report").code == 0
    for path in (Run("r").report_folder / "report.html", home / "oof" / "made.html"):
        source = path.read_text(encoding="utf-8")
        assert "<script>alert" not in source and '<b>"owl"' not in source
    page = Page(Run("r").report_folder / "report.html")
    for name in HARD:
        assert name in page.text


def test_a_run_in_training_shows_where_it_is(foldwise: Callable[..., Ended], home: Path) -> None:
    run = make_run("r", folds=[0], end=False)
    with run.fold_log(2) as log:
        for epoch in (1, 2):
            line = f"train_loss {1 / epoch:.4f}, val_loss 0.9000, val_accuracy 0.5000"
            log.write(
                f"2026-01-01 10:00:00 fold 2, epoch {epoch}/8: {line}, lr 1.0e-03, 9 images/s\n"
            )
        assert foldwise("report", "run=r").code == 0
        assert "training fold 2" in foldwise("runs").out
        history = runview.epochs(run, 2)
    assert history is not None and history["train_loss"].tolist() == [1.0, 0.5]
    assert history["lr"].tolist() == [0.001, 0.001]
    page = Page(run.report_folder / "report.html")
    assert page.whole() and "epoch 2/8" in page.text and "training fold 2" in page.text


def test_a_run_without_a_finished_fold_has_a_page_too(
    foldwise: Callable[..., Ended], home: Path
) -> None:
    run = make_run("r", folds=[], end=False)
    ended = foldwise("report", "run=r")
    assert ended.code == 0, ended.err
    assert "no fold of it is finished" in Page(run.report_folder / "report.html").text


def test_a_real_run_shows_its_images_and_slices(foldwise: Callable[..., Ended], home: Path) -> None:
    folder = write_competition(home / "input" / "pets")
    train = pd.read_csv(folder / "train.csv", dtype=str)
    train.assign(source=np.where(train.index % 2, "web", "camera")).to_csv(
        folder / "train.csv", index=False
    )
    (folder / "train" / "tr007.png").unlink()  # of which the report says nothing but "no image"
    words = ("competition=pets", "images.missing=drop", *QUICK, "run=r")
    assert foldwise(*words, "fold=0..1").code == 0
    assert foldwise(*words, "run=s", "fold=1..2", "seed=3").code == 0
    ended = foldwise("report", "run=r", "gradcam=true")
    assert (ended.code, ended.err) == (0, "")
    assert (Run("r").report_folder / "gradcam.png").stat().st_size > 10_000
    page = Page(Run("r").report_folder / "report.html")
    assert page.whole() and sum(one.startswith("data:image/png") for one in page.fetched) >= 20
    slices = json.loads((Run("r").report_folder / "analysis.json").read_text())["slices"]
    assert {(one["column"], one["value"]) for one in slices} == {
        ("source", "web"), ("source", "camera"),
    }  # fmt: skip
    assert "Where it looks" in page.text
    assert {"predictions.png", "mistakes.png"} <= {p.name for p in Run("r").report_folder.iterdir()}
    assert foldwise("report", "competition=pets").code == 0
    page = Page(home / "oof" / "pets.html")
    assert page.whole() and "r/report/report.html" in page.links


def test_all_runs_on_a_page_with_scores_of_blends_and_leaderboard(
    foldwise: Callable[..., Ended], home: Path
) -> None:
    make_run("a-p1", skill=2.0, pseudo__run="a")
    for name, skill in (("a", 1.0), ("b", 1.5), ("mix", 2.5)):
        run = make_run(name, skill=skill)
    members = [
        {"name": name, "weight": weight, "score": 0.5, "interval": [0.4, 0.6], "without": None}
        for name, weight in (("a", 0.7), ("b", 0.3))
    ]
    described = {"method": "hillclimb", "members": members, "correlation": [[1, 0.5], [0.5, 1]]}
    (run.folder / "blend.json").write_text(json.dumps(described))
    told = {"honest": 0.4321, "naive": 0.5, "interval": [0.41, 0.45]}
    run.write_scores({**run.scores(), **told})
    gained = {"gain": 0.0123, "error": 0.0045, "interval": [0.5, 0.9]}
    (Run("a-p1").folder / "pseudo.json").write_text(json.dumps(gained))
    log = "time,competition,run,cv,public\nx,made,a,0.5,0.6\nx,made,b,0.6,0.7\nx,made,b,,\n"
    (home / "submissions").mkdir()
    (home / "submissions" / "log.csv").write_text(log)
    assert foldwise("report").code == 0
    page = Page(home / "oof" / "made.html")
    assert page.whole() and "0.4321" in page.text and "hillclimb" in page.text
    for figure in ("CV and public score of 2 submissions", "pseudo-label rounds", "correlation"):
        assert figure in page.text
    assert "+0.0123" in page.text and "± 0.0045" in page.text
    ended = foldwise("report", "run=mix", "gradcam=true")
    assert (ended.code, "is a blend" in ended.err) == (2, True)
    assert foldwise("report", "run=mix").code == 0
    text = Page(run.report_folder / "report.html").text
    assert "weight of each member" in text and "0.4321 (0.4100 to 0.4500)" in text
    assert "0.4000 to 0.6000" in text and "correlation of the mistakes" in text


def test_runs_that_do_not_compare_stand_in_one_table(
    foldwise: Callable[..., Ended], home: Path
) -> None:
    make_run("a")
    make_run("b", "regression", classes=["price"])
    make_run("c", folds=[], end=False)
    ended = foldwise("report", "runs=a,b,c")
    assert ended.code == 0, ended.err
    text = Page(home / "oof" / "made.html").text
    assert "rmse" in text and "Two runs side by side" not in text


def test_a_pattern_gives_a_page_each(foldwise: Callable[..., Ended], home: Path) -> None:
    for name in ("exp1", "exp2", "other"):
        make_run(name, rows=60)
    ended = foldwise("report", "run=exp*")
    assert ended.code == 0, ended.err
    written = [f"oof/{name}/report/report.html" for name in ("exp1", "exp2")]
    assert [line.split(":")[0] for line in ended.out.splitlines()] == written
    assert all((home / path).is_file() for path in written)
    assert not Run("other").report_folder.exists()
    ended = foldwise("report", "run=ex1*")
    assert (ended.code, "there is no run 'ex1*'" in ended.err) == (1, True)


def test_a_fold_has_a_page_of_its_rows_alone(foldwise: Callable[..., Ended], home: Path) -> None:
    run = make_run("r", folds=(0, 2))
    run.write_scores({**run.scores(), "honest": 0.4321, "naive": 0.5, "interval": [0.41, 0.45]})
    ended = foldwise("report", "run=r", "fold=0,2")
    assert ended.code == 0, ended.err
    for fold in (0, 2):
        folder = run.report_folder / f"fold{fold}"
        analysis = json.loads((folder / "analysis.json").read_text())
        score = run.scores()["folds"][str(fold)]
        assert analysis["scores"]["oof"] == pytest.approx(score) and analysis["rows"] == 80
        page = Page(folder / "report.html")
        assert page.whole() and f"r, fold {fold}" in page.text and f"{score:.4f}" in page.text
        assert "honest" not in page.text and "folds.png" not in {p.name for p in folder.iterdir()}
        assert (folder / "confusion.png").is_file() and (folder / "combined.png").is_file()
    assert not (run.report_folder / "report.html").exists()
    for words, text in (
        (("run=r", "fold=1"), "fold 1 of r is not finished"),
        (("run=r", "fold=7"), "out of range"),
        (("fold=0",), "fold=0 wants a run"),
    ):
        ended = foldwise("report", *words)
        assert ended.code in (1, 2) and text in ended.err.splitlines()[-1]


def test_errors_name_what_is_there(foldwise: Callable[..., Ended], home: Path) -> None:
    assert "has no run yet" in foldwise("report").err
    make_run("rainbow")
    ended = foldwise("report", "run=rainbo")
    assert (ended.code, "did you mean 'rainbow'" in ended.err) == (1, True)
    assert foldwise("report", "gradcam=true").code == 2
    ended = foldwise("report", "competition=mad")
    assert (ended.code, "did you mean 'made'" in ended.err) == (1, True)
    ended = foldwise("report", "runs=r*,nothing")
    assert (ended.code, "there is no run 'nothing'" in ended.err) == (1, True)
    (Run("rainbow").folder / "oof.parquet").write_bytes(b"damaged")
    ended = foldwise("report", "run=rainbow")
    assert (ended.code, "is not a table" in ended.err) == (1, True)
    assert foldwise("report").code == 0  # its row stays in the table


def test_neither_verb_imports_torch(home: Path) -> None:
    make_run("r")
    code = (
        "import sys; from foldwise.cli import main\n"
        "assert main(['report', 'run=r']) == main(['report']) == main(['runs']) == 0\n"
        "heavy = {'torch', 'timm', 'albumentations'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    environment = {"FOLDWISE_HOME": str(home), "PYTHONPATH": str(CLONE / "src"), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_report_knows_only_runs_and_competition() -> None:
    allowed = {
        "report",
        "competition",
        "runs",
        "compose",
        "config",
        "errors",
        "files",
        "provenance",
    }
    for path in (CLONE / "src" / "foldwise" / "report").glob("*.py"):
        rooms = set(re.findall(r"^\s*from foldwise\.(\w+)", path.read_text(), re.MULTILINE))
        assert rooms <= allowed, f"{path.name}: {rooms - allowed}"
