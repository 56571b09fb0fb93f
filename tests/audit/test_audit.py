"""The whole audit: the table, audit.json and the figure."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from audit.conftest import drawing, jpeg
from foldwise.audit.audit import audit, finite
from foldwise.competition.layout import CompetitionData
from helpers import Ended

Make = Callable[..., CompetitionData]


def look(data: CompetitionData, folder: Path) -> dict:
    """Runs the audit; returns what lies in audit.json."""
    result = audit(data, folder, 2)
    text = (folder / "audit.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == result
    picture = cv2.imread(str(folder / "audit.png"))
    assert picture is not None and picture.shape[1] == 1500
    return result


def test_everything_that_is_planted_is_reported(
    competition: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = {f"t{n:02d}": ("ab"[n % 2], jpeg(drawing(n))) for n in range(40)}
    test = {f"s{n:02d}": jpeg(drawing(100 + n)) for n in range(25)}
    train["conflict"] = ("b", jpeg(drawing(4), 60))  # t04 is an a
    train["twin"] = ("a", jpeg(drawing(6)[:, ::-1]))
    train["constant"] = ("a", jpeg(np.full((48, 48, 3), 90, np.uint8)))
    train["tiny"] = ("b", jpeg(drawing(200, 8)))
    train["long"] = ("b", jpeg(np.hstack([drawing(300 + n) for n in range(5)])))
    train["junk"] = ("a", b"junk")
    test["known"] = jpeg(drawing(8))
    test["cut"] = test["s00"][:200]
    result = look(competition(train, test), tmp_path / "out")

    assert [(i["part"], i["id"]) for i in result["broken"]] == [("train", "junk"), ("test", "cut")]
    odd = {kind: [image["id"] for image in images] for kind, images in result["odd"].items()}
    assert (odd["constant"], odd["tiny"], odd["elongated"]) == (["constant"], ["tiny"], ["long"])
    pairs = {(p["a"]["id"], p["b"]["id"], p["kind"]) for p in result["duplicates"]["pairs"]}
    wanted = {("t04", "conflict", "near"), ("t06", "twin", "mirrored"), ("t08", "known", "exact")}
    assert pairs == wanted
    (conflict,) = result["conflicts"]
    assert (conflict["a"]["label"], conflict["b"]["label"]) == ("a", "b")
    counts = result["duplicates"]["counts"]
    assert sum(counts["train"].values()) == 2 and counts["across"]["exact"] == 1
    assert result["balance"]["counts"] == {"a": 23, "b": 23}
    assert [f["alarm"] for f in result["findings"]] == sorted(
        (f["alarm"] for f in result["findings"]), reverse=True
    )

    text = capsys.readouterr().out
    assert max(map(len, text.splitlines()[:-1])) <= 100
    for word in ("folds.group=duplicates", "corrections.csv", "images.broken=prior", "t04 a"):
        assert word in text


def test_good_data_raise_no_alarm(
    competition: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = {f"{n * 7919 % 9973:05d}": ("ab"[n % 2], jpeg(drawing(n))) for n in range(60)}
    test = {f"{n * 7919 % 9973:05d}": jpeg(drawing(n)) for n in range(60, 90)}
    result = look(competition(train, test), tmp_path)
    assert result["findings"] == []
    assert "nothing is wrong that this audit could see" in capsys.readouterr().out


@pytest.mark.parametrize("test", [{}, {"x": jpeg(drawing(7))}])
def test_three_images_are_enough(competition: Make, tmp_path: Path, test: dict[str, bytes]) -> None:
    train = {f"{n}": ("ab"[n % 2], jpeg(drawing(n))) for n in range(3)}
    result = look(competition(train, test), tmp_path)
    assert "skipped" in result["shift"] and "skipped" in result["leaks"]
    assert (result["images"]["train"], result["images"]["test"]) == (3, len(test))


def test_all_images_broken(competition: Make, tmp_path: Path) -> None:
    result = look(competition({"1": ("a", b"x"), "2": ("b", b"y")}, {"3": b"z"}), tmp_path)
    assert len(result["broken"]) == 3 and result["duplicates"]["groups"] == []


def test_tasks(competition: Make, tmp_path: Path) -> None:
    labels = ["1", "1.01", "5", "9"]
    train = {f"{n}": (label, jpeg(drawing(n))) for n, label in enumerate(labels)}
    train["near"] = ("1.02", jpeg(drawing(0), 50))
    train["far"] = ("6", jpeg(drawing(1), 50))
    data = competition(train, {})

    def with_task(task: str) -> dict:
        return look(replace(data, targets=replace(data.targets, task=task)), tmp_path)

    regression = with_task("regression")
    assert [c["b"]["id"] for c in regression["conflicts"]] == ["far"]
    assert regression["balance"]["quantiles"]["100%"] == 9
    assert len(with_task("multiclass")["conflicts"]) == 2
    data.train["label"] = ["a|b", "a", "b", "", "a|b", "a"]
    multilabel = with_task("multilabel")
    assert multilabel["balance"]["counts"] == {"a": 4, "b": 3} and multilabel["conflicts"] == []


def test_of_several_numbers_the_first_counts(home: Path, foldwise: Callable[..., Ended]) -> None:
    folder = home / "input" / "x"
    (folder / "train").mkdir(parents=True)
    rows = ["id,x,y"]
    for n in range(6):
        (folder / "train" / f"{n}.jpg").write_bytes(jpeg(drawing(n // 2 if n < 2 else n), 90 - n))
        rows.append(f"{n},{n + 0.5},{10 - n}")
    (folder / "train.csv").write_text("\n".join(rows))
    ended = foldwise("audit", "competition=x", "competition.columns.label=x,y")
    assert ended.code == 0 and "1 pair of duplicates in train with different labels" in ended.out
    assert (folder / "audit.png").read_bytes().startswith(b"\x89PNG")
    assert foldwise("audit", "competition=x", "competition.columns.label=x,y").code == 0


def test_finite() -> None:
    value = {"a": (np.float32(1), float("nan")), "b": [np.int64(2), float("inf")], 3: True}
    assert finite(value) == {"a": [1.0, None], "b": [2, None], "3": True}
