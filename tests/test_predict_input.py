"""`predict input=` and `evaluate`: any images by any run, beside the tables of that run."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise import cli
from foldwise.prediction import files
from foldwise.provenance import read_table
from foldwise.runs import Run
from helpers import QUICK, Ended, refused, write_competition

CLASSES = ('a,"b"', "owl <i>", "ねこ")
COLUMNS = [f"prob_{name}" for name in CLASSES]
BLENDS = {
    "mean": ("runs=a,b", "method=mean"),
    "flip": ("runs=a:flip,b", "method=optimize", "post=priors"),
    "stack": ("runs=a,b", "method=stack"),
    "vote": ("runs=a,b,mean", "method=vote"),
    "deep": ("runs=mean,stack", "weights=1,3"),
    "rank": ("runs=a,b", "method=rank"),
    "only": ("runs=a,b", "weights=0,1"),
    "lost": ("runs=a,b,c", "weights=1,0,2"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two runs of pets with odd class names, and blends of all kinds of them."""
    home = tmp_path_factory.mktemp("home")
    write_competition(home / "input" / "pets", CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLDWISE_HOME", str(home))
        words = ("competition=pets", "folds.k=2", *QUICK)
        assert cli.main([*words, "run=a"]) == 0
        seen = ("images.size=8", "images.crop_pct=0.8", "tta=flip")
        assert cli.main([*words, "run=b", "seed=1", *seen, "train.save_every=1"]) == 0
        assert cli.main(["predict", "run=a", "tta=flip"]) == 0
        shutil.copytree(home / "oof" / "a", home / "oof" / "c")
        for name, said in BLENDS.items():
            assert cli.main(["blend", f"run={name}", *said]) == 0
        shutil.rmtree(home / "oof" / "c")
    return home


@pytest.fixture
def home(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOLDWISE_HOME", str(trained))
    return trained


def test_set(home: Path) -> str:
    return f"input={home / 'input' / 'pets' / 'test'}"


test_set.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["b", "only", "flip", "vote", "deep"])
def test_the_runs_own_test_set(
    name: str, foldwise: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    run = Run(name)
    for folds, wanted in (("", run.test_table()), ("1", read_table(run.table(1, "test")))):
        words = [f"fold={folds}"] if folds else []
        out = tmp_path / "x.parquet"
        ended = foldwise("predict", f"run={name}", test_set(home), f"out={out}", *words)
        assert ended.code == 0, ended.err
        found = pd.read_parquet(out)
        assert found["id"].str.removesuffix(".png").tolist() == wanted[0]["id"].tolist()
        np.testing.assert_allclose(found[COLUMNS], wanted[0][COLUMNS], atol=1e-6)
        assert (found["broken"] == "").all()
    submission = pd.read_csv(home / "submissions" / f"{name}.csv", dtype=str)
    if not folds:
        assert found["predicted"].tolist() == submission["label"].tolist()


def test_the_weights_of_an_epoch(
    foldwise: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    def predicted(*words: str) -> pd.DataFrame:
        ended = foldwise("predict", "run=b", test_set(home), f"out={tmp_path / 'x.csv'}", *words)
        assert ended.code == 0, ended.err
        return pd.read_csv(tmp_path / "x.csv")

    own, first, last = predicted(), predicted("epoch=1"), predicted("epoch=2")
    pd.testing.assert_frame_equal(own, last)  # of two epochs
    assert not np.allclose(own[COLUMNS], first[COLUMNS], atol=1e-3)
    one = predicted("epoch=1", "fold=1", "tta=none")
    assert not np.allclose(one[COLUMNS], first[COLUMNS], atol=1e-3)
    words = ("run=b", test_set(home), f"truth={home / 'input/pets/solution.csv'}")
    ended = foldwise("evaluate", *words, "epoch=2")
    assert (
        ended.code == 0 and (Run("b").evaluation_folder("test.epoch002") / "scores.json").is_file()
    )

    image = f"input={home / 'input' / 'pets' / 'test' / 'te003.png'}"
    for words, line in (
        (
            ("run=b", "epoch=7"),
            "b kept no weights of epoch 7 in fold 0: there are those of epochs 1, 2",
        ),
        (("run=a", "epoch=1"), "there are none (train.save_every=N)"),
        (("run=mean", "epoch=1"), "epoch=1: mean is a blend"),
        (("run=b", "epoch=0"), "epoch=0 is no epoch"),
    ):
        refused(foldwise("predict", image, *words), line)
    refused(foldwise("predict", "run=b", "tta=flip", "epoch=1"), "epoch= wants input=")
    file = Run("b").model_file(1, 1)
    kept = file.read_bytes()
    for other, line in (
        (Run("b").model_file(0, 1), "epoch001.safetensors is not the network that made the tables"),
        (Run("a").model_file(1), "epoch001.safetensors was made by another recipe"),
    ):
        file.write_bytes(other.read_bytes())
        refused(foldwise("predict", image, "run=b", "epoch=1"), line)
    file.write_bytes(kept)


def test_formats_agree_and_hold_the_members(
    foldwise: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    outs = [tmp_path / f"x{kind}" for kind in (".csv", ".json", ".parquet")]
    for out in outs:
        words = (test_set(home), f"out={out}", "members=true")
        assert foldwise("predict", "run=deep", *words).code == 0
    csv, parquet = pd.read_csv(outs[0], keep_default_na=False), pd.read_parquet(outs[2])
    assert csv.columns.tolist() == parquet.columns.tolist()
    numbers = [name for name in csv if "prob_" in name]
    np.testing.assert_array_equal(csv[numbers].astype(np.float32), parquet[numbers])
    stack = Run("stack").test_table()[0]
    members = [f"stack:{name}" for name in COLUMNS]
    np.testing.assert_allclose(parquet[members], stack[COLUMNS], atol=1e-6)
    rows = json.loads(outs[1].read_text(encoding="utf-8"))
    for row, (_, wanted) in zip(rows, parquet.iterrows(), strict=True):
        assert (row["id"], row["predicted"]) == (wanted["id"], wanted["predicted"])
        assert list(row["probabilities"]) == list(CLASSES)
        values = np.array(list(row["members"]["mean"].values()), np.float32)
        np.testing.assert_array_equal(values, wanted[[f"mean:{c}" for c in COLUMNS]])
    assert {path.name for path in tmp_path.iterdir()} == {out.name for out in outs}


def test_one_image(foldwise: Callable[..., Ended], home: Path, tmp_path: Path) -> None:
    image = tmp_path / "a, “b” 猫.png"
    shutil.copy(home / "input" / "pets" / "test" / "te003.png", image)
    table = read_table(Run("a").table(0, "test"))[0]
    wanted = table.set_index("id").loc["te003", COLUMNS].astype(float).sort_values(ascending=False)
    ended = foldwise("predict", "run=a", f"input={image}", "fold=0", "top=2")
    assert ended.code == 0, ended.err
    head, *lines = ended.out.splitlines()
    best = [name.removeprefix("prob_") for name in wanted.index]
    assert head == f"{image.name}: {best[0]}"
    assert [line.rsplit(None, 1)[0].strip() for line in lines] == best[:2]
    assert float(lines[0].split()[-1]) == pytest.approx(wanted.iloc[0], abs=1e-4)
    ended = foldwise("predict", "run=a", f"input={image}", "out=-", "members=true", "top=1")
    found = json.loads(ended.out)
    assert len(found["top"]) == 1 and list(found["members"]) == ["fold0", "fold1"]
    values = [list(found["members"][name].values()) for name in found["members"]]
    np.testing.assert_allclose(np.mean(values, axis=0), list(found["probabilities"].values()), 1e-5)
    ended = foldwise("predict", "run=only", f"input={image}", "members=true")
    assert ended.out.splitlines()[1].split() == ["only", "b"]
    ended = foldwise("predict", "run=deep", f"input={image}", "members=true")
    assert ended.out.splitlines()[1].split() == ["deep", "mean", "stack"]


def test_lists_in_any_order_with_broken_images(
    foldwise: Callable[..., Ended],
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted, _ = Run("b").test_table()
    names = [f'x, {n} 犬".png' for n in range(len(wanted))]
    for source, name in zip(wanted["id"], names, strict=True):
        shutil.copy(home / "input" / "pets" / "test" / f"{source}.png", tmp_path / name)
    (tmp_path / "cut.png").write_bytes((tmp_path / names[0]).read_bytes()[:200])
    order = np.random.default_rng(0).permutation(len(names)).tolist()
    lines = [names[n] for n in order]
    lines[2:2] = ["cut.png", str(tmp_path / "nothing.png")]
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pd.DataFrame({"note": 1, "picture": lines}).to_csv(tmp_path / "list.csv", index=False)
    monkeypatch.setattr(files, "PART", 5 * 8 * 8 * 3)
    prior = [20 / 60] * 3
    for kind in ("txt", "csv"):
        out = tmp_path / "out.csv"
        words = (f"input={tmp_path / f'list.{kind}'}", f"out={out}")
        ended = foldwise("predict", "run=b", *words)
        assert ended.code == 0
        assert "2 images got the class prior: cut.png is no image, or cut off" in ended.err
        found = pd.read_csv(out, keep_default_na=False)
        assert found["id"].tolist() == lines
        assert found.index[found["broken"] != ""].tolist() == [2, 3]
        np.testing.assert_allclose(found.loc[[2, 3], COLUMNS], [prior, prior], atol=1e-6)
        fine = found.drop([2, 3])
        np.testing.assert_allclose(fine[COLUMNS], wanted.iloc[order][COLUMNS], atol=1e-6)


def test_nothing_but_broken_images(
    foldwise: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    for name in ("x.png", "y.jpg"):
        (tmp_path / name).write_bytes(b"no image")
    words = (f"input={tmp_path}", f"out={tmp_path / 'x.csv'}", "members=true")
    ended = foldwise("predict", "run=deep", *words)
    assert ended.code == 0, ended.err
    found = pd.read_csv(tmp_path / "x.csv")
    numbers = found[[name for name in found if "prob_" in name]]
    np.testing.assert_allclose(numbers, np.full(numbers.shape, 1 / 3), atol=1e-6)
    assert "2 images got the class prior" in ended.err


def test_memory_is_that_of_a_part(
    foldwise: Callable[..., Ended], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the list: no more rows are decoded or held than a part has."""
    image = home / "input" / "pets" / "test" / "te000.png"
    (tmp_path / "list.txt").write_text(f"{image}\n" * 3000)
    sizes: list[int] = []
    real = files._decoded

    def counted(*words: object) -> files.Part:
        part = real(*words)  # type: ignore[arg-type]
        sizes.append(part.count)
        return part

    monkeypatch.setattr(files, "_decoded", counted)
    monkeypatch.setattr(files, "PART", 100 * 12 * 12 * 3)
    words = ("predict", "run=a", f"input={tmp_path / 'list.txt'}", f"out={tmp_path / 'o.parquet'}")
    assert foldwise(*words).code == 0
    assert max(sizes) <= 100 and sum(sizes) == 3000
    values = pd.read_parquet(tmp_path / "o.parquet")[COLUMNS].to_numpy()
    np.testing.assert_allclose(values, values[:1].repeat(3000, axis=0), atol=1e-6)


def test_nothing_is_left_of_a_file_that_is_not_finished(
    foldwise: Callable[..., Ended], home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "PART", 1)

    def fails(*words: object) -> np.ndarray:
        if list(tmp_path.glob(".*")):  # the temporary file is there
            raise RuntimeError("out of luck")
        return np.zeros(0)

    monkeypatch.setattr("foldwise.predictor.predicted", fails)
    for kind in ("csv", "json", "parquet"):
        ended = foldwise("predict", "run=a", test_set(home), f"out={tmp_path / f'x.{kind}'}")
        assert ended.code == 1 and "out of luck" in ended.err
    assert not list(tmp_path.iterdir())


def test_predict_refuses_in_one_line(
    foldwise: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    (tmp_path / "no.png").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.csv").write_text("id,label\n1,2\n")

    def refused(code: int, text: str, *words: str) -> None:
        ended = foldwise("predict", *words)
        assert (ended.code, "Traceback" in ended.err) == (code, False)
        assert text in ended.err.splitlines()[-1]

    everything = test_set(home)
    refused(2, "say out=FILE.csv", "run=a", everything)
    refused(2, "ends with none of .csv, .json, .parquet", "run=a", everything, "out=x.xlsx")
    refused(1, "is not there: name a folder", "run=a", "input=nowhere")
    refused(1, "has no images", "run=a", f"input={tmp_path / 'empty'}", "out=x.csv")
    for name, first in (("ids.csv", "0011"), ("paths.txt", "none.png")):
        head = "id\n" if name == "ids.csv" else ""
        (tmp_path / name).write_text(f"{head}{first}\nnor-this\n")
        line = f"is there, the first is '{first}': a list needs their paths, with extensions"
        refused(1, line, "run=a", f"input={tmp_path / name}", "out=x.csv")
    refused(1, "no column of image files", "run=a", f"input={tmp_path / 'no.csv'}", "out=x.csv")
    refused(
        2, "is the list itself", "run=a", *(f"{k}={tmp_path / 'no.csv'}" for k in ("input", "out"))
    )
    refused(1, "no.png is empty", "run=a", f"input={tmp_path / 'no.png'}")
    refused(1, "lost is made of c, which is not there", "run=lost", everything, "out=x.csv")
    refused(1, "blends ranks", "run=rank", everything, "out=x.csv")
    refused(2, "top=0 is not a number above 0", "run=a", everything, "top=0", "out=x.csv")
    refused(2, "top= wants input=", "run=a", "top=3")
    refused(2, "run=mean needs input=: an image, a folder or a list of images (", "run=mean")
    refused(2, "there is no view 'flp'", "run=mean", everything, "tta=flp", "out=x.csv")
    refused(2, "out of range", "run=mean", everything, "fold=2", "out=x.csv")
    model = Run("b").model_file(0)
    others = [Run("b").model_file(k) for k in (0, 1)]
    kept = [path.read_bytes() for path in others]
    try:
        model.unlink()
        refused(1, "folds 0 of b are not finished", "run=mean", everything, "out=x.csv", "fold=0")
        others[1].unlink()
        refused(1, "b has no network to predict with, and mean is made of it",
                "run=deep", everything, "out=x.csv")  # fmt: skip
    finally:
        for path, data in zip(others, kept, strict=True):
            path.write_bytes(data)
    before, origin = read_table(Run("b").table(0, "oof"))
    Run("b").write_predictions(0, "oof", before, replace(origin, recipe_hash="0" * 16))
    refused(1, "mean was made when b had another recipe", "run=mean", everything, "out=x.csv")
    Run("b").write_predictions(0, "oof", before, origin)


def test_evaluate_a_fold_on_its_own_rows(
    foldwise: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    pets = home / "input" / "pets"
    oof, _ = read_table(Run("a").table(1, "oof"))
    oof[["id", "label"]].to_csv(tmp_path / "rows.csv", index=False)
    words = (f"input={pets / 'train'}", f"truth={tmp_path / 'rows.csv'}")
    ended = foldwise("evaluate", "run=a", *words, "fold=1")
    assert ended.code == 0, ended.err
    assert "too good" not in ended.err
    folder = Run("a").evaluation_folder("train.fold1")
    found, _ = read_table(folder / "predictions.parquet")
    assert found["label"].tolist() == oof["label"].tolist()
    np.testing.assert_allclose(found[COLUMNS], oof[COLUMNS], atol=1e-6)
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["score"] == pytest.approx(Run("a").scores()["folds"]["1"])
    ended = foldwise("evaluate", "run=a", *words)
    assert "30 of these images have the ids of rows that the run was trained on" in ended.err


def test_evaluate_a_blend_on_folders_a_table_and_a_list(
    foldwise: Callable[..., Ended], home: Path, tmp_path: Path
) -> None:
    pets = home / "input" / "pets"
    truth = pd.read_csv(pets / "solution.csv", dtype=str)
    for name, label in zip(truth["id"], truth["label"], strict=True):
        (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
        shutil.copy(pets / "test" / f"{name}.png", tmp_path / "set" / label)
    listing = truth.assign(image=[f"{pets}/test/{name}.png" for name in truth["id"]])
    listing.to_csv(tmp_path / "list.csv", index=False)
    (tmp_path / "bad.csv").write_text(f"image,label\n{listing['image'][0]},dgo\n")
    test, _ = Run("deep").test_table()
    said = test[COLUMNS].to_numpy().argmax(axis=1)
    right = (np.array(CLASSES)[said] == truth["label"]).mean()
    words = {
        "set": (f"input={tmp_path / 'set'}",),
        "test": (test_set(home), f"truth={pets / 'solution.csv'}"),
        "list": (f"input={tmp_path / 'list.csv'}",),
    }
    for name, given in words.items():
        ended = foldwise("evaluate", "run=deep", *given)
        assert ended.code == 0, ended.err
        folder = Run("deep").evaluation_folder(name)
        scores = json.loads((folder / "scores.json").read_text())
        assert (scores["metric"], scores["score"]) == ("accuracy", pytest.approx(right))
        assert f"accuracy {right:.4f}" in (folder / "analysis.txt").read_text(encoding="utf-8")
        assert "ねこ" in ended.out and "OOF rows" not in ended.out
        drawn = {path.stem for path in folder.glob("*.png")}
        assert drawn - {"mistakes"} == OF_CLASSES
        said = pd.read_csv(folder / "predictions.csv", dtype={"id": str})
        assert list(said)[:5] == ["id", "label", "predicted", "confidence", "broken"]
        assert (said["label"] == said["predicted"]).mean() == pytest.approx(right)
        np.testing.assert_allclose(said["confidence"], said[COLUMNS].max(axis=1), rtol=1e-6)
        assert ("mistakes" in drawn) == (right < 1)
    ended = foldwise("evaluate", "run=a", words["list"][0], "tta=hflip,plain")
    assert ended.code == 0 and Run("a").evaluation_folder("list.flip").is_dir()

    def refused(text: str, *words: str) -> None:
        ended = foldwise("evaluate", "run=a", *words)
        assert ended.code in (1, 2) and text in ended.err.splitlines()[-1]

    refused("labels that the run does not know: dgo", f"input={tmp_path / 'bad.csv'}")
    refused("is in no folder of a class", test_set(home))
    refused("and input=", "input=x.csv", f"truth={pets / 'solution.csv'}")


OF_CLASSES = {"confusion", "classes", "reliability", "surest", "predictions"}
TASKS = {
    "labels": "multilabel",
    "numbers": "regression",
    "grades": "ordinal",
}


def mistakes(folder: Path) -> list[object]:
    return list(json.loads((folder / "analysis.json").read_text())["mistakes"])


@pytest.mark.parametrize("task", TASKS)
def test_other_tasks(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("FOLDWISE_HOME", str(tmp_path))
    pets = write_competition(tmp_path / "input" / "pets")
    for name in ("sample_submission.csv", "solution.csv"):
        (pets / name).unlink()
    train = pd.read_csv(pets / "train.csv", dtype=str)
    place = train["label"].map({"cat": 0, "dog": 1, "owl": 2})
    if task == "labels":
        train["label"] = train["label"].map({"cat": "cat", "dog": "dog", "owl": "cat dog"})
    elif task == "numbers":
        train = train.drop(columns="label").assign(x=place * 2.5, y=-1000.0 * place)
    else:
        train["label"] = place
    train.to_csv(pets / "train.csv", index=False)
    words = ["competition=pets", "run=r", "fold=0", *QUICK, f"competition.task={TASKS[task]}"]
    words += ["competition.columns.label=x,y"] if task == "numbers" else []
    assert cli.main(words) == 0
    (pets / "test" / "te001.png").write_bytes(b"")
    out = tmp_path / "x.json"
    assert cli.main(["predict", "run=r", f"input={pets / 'test'}", f"out={out}"]) == 0
    rows = json.loads(out.read_text())
    run = Run("r")
    test, _ = run.test_table()
    columns = [name for name in test if name != "id"]
    fine = [n for n in range(len(rows)) if n != 1]
    kind = "values" if TASKS[task] == "regression" else "probabilities"
    found = np.array([list(rows[n][kind].values()) for n in fine])
    np.testing.assert_allclose(found, test[columns].iloc[fine], rtol=1e-5, atol=1e-6)
    assert rows[1]["broken"] == "is empty"
    if task == "labels":
        flags = [{"cat", "dog"} & set(row["predicted"].split("|")) for row in rows]
        chosen = [{name for name, p in row[kind].items() if p >= 0.5} for row in rows]
        assert flags == chosen
    capsys.readouterr()
    assert cli.main(["predict", "run=r", f"input={pets / 'test' / 'te000.png'}"]) == 0
    assert "te000.png" in capsys.readouterr().out
    oof, _ = read_table(run.table(0, "oof"))
    rows_of_fold = train[train["id"].isin(oof["id"])]
    rows_of_fold.to_csv(tmp_path / "truth.csv", index=False)
    given = [f"input={pets / 'train'}", f"truth={tmp_path / 'truth.csv'}", "fold=0"]
    folder = run.evaluation_folder("train.fold0")
    folder.mkdir(parents=True)
    (folder / "weights.png").write_bytes(b"of an evaluation before")
    assert cli.main(["evaluate", "run=r", *given]) == 0
    wanted = {"numbers", "predictions"} if task == "numbers" else OF_CLASSES
    drawn = {path.stem for path in folder.glob("*.png")}
    assert drawn - {"mistakes"} == wanted and (drawn == wanted) == (not mistakes(folder))
    said = list(pd.read_csv(folder / "predictions.csv"))
    assert ("predicted" in said) == ("confidence" in said) == (task != "numbers")
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["score"] == pytest.approx(run.scores()["folds"]["0"], rel=1e-5)
