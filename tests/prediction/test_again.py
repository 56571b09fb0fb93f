"""A finished run predicts again: with its own views the same bytes, with others other tables."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.provenance import read_table
from foldwise.runs import Run
from helpers import QUICK, Ended

COMMAND = ("competition=pets", "run=r")
SURGERY = ("model.name=test_resnet", "model.stem=small", "model.head=mlp", "model.pool=gem",
           "model.drop_rate=0.1", "train.batch_size=16", "train.epochs=1")  # fmt: skip
PARTS = ("images.size=10", "images.crop_pct=0.8", "images.decode_size=16")
CASES = {
    "classes": (*QUICK, "tta=flip"),
    "surgery": (*SURGERY, "model.in_chans=1", "tta=plain,zoom:1.2", "tta.space=logit"),
    "parts": (*QUICK, *PARTS, "augment.crop=0.5", "tta=hflip,zoom:0.8"),
    "last weights": (*QUICK, "train.ema=0", "train.precision=fp32", "train.channels_last=false"),
    "grades": (*QUICK, "competition.task=ordinal", "competition.classes=[cat, dog, owl]"),
    "labels": (*QUICK, "competition.task=multilabel", "tta=multiscale"),
    "number": (*QUICK, "loss.name=smooth_l1", "train.ema=0.9", "tta=flips"),
    "numbers": (*SURGERY, "loss.name=mae", "images.clahe=2", "competition.columns.label=x,y"),
}


def relabelled(pets: Path, case: str) -> None:
    """The same images with another kind of labels, and no sample to submit."""
    for name in ("sample_submission.csv", "solution.csv"):
        (pets / name).unlink()
    train = pd.read_csv(pets / "train.csv", dtype=str)
    place = train["label"].map({"cat": 0, "dog": 1, "owl": 2})
    if case == "labels":
        train["label"] = train["label"].map({"cat": "cat", "dog": "dog", "owl": "cat dog"})
    elif case == "number":
        train["label"] = place * 30.5 + 100
    elif case == "numbers":
        train = train.drop(columns="label").assign(x=place * 2.5, y=-1000.0 * place)
    train.to_csv(pets / "train.csv", index=False)


@pytest.mark.parametrize("case", CASES)
def test_the_runs_own_views_give_the_same_bytes(
    case: str, foldwise: Callable[..., Ended], pets: Path
) -> None:
    relabelled(pets, case)
    ended = foldwise(*COMMAND, *CASES[case], "fold=0")
    assert ended.code == 0, ended.err
    run = Run("r")
    views = run.config().tta.views
    ended = foldwise("predict", "run=r", f"tta={views}")
    assert ended.code == 0, ended.err
    (name,) = run.views(0)
    for part in ("oof", "test"):
        again = run.table(0, part, name).read_bytes()
        assert again == run.table(0, part).read_bytes()
    own, other = (line.split() for line in ended.out.splitlines()[1:3])
    assert own[-2:] == other[-2:] == [f"{run.scores()['oof']:.4f}"] * 2


def test_other_views_are_those_of_a_run_trained_with_them(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    words = ("competition=pets", *QUICK, "fold=0,2")
    assert foldwise(*words, "run=plain").code == 0
    assert foldwise(*words, "run=flip", "tta=flip").code == 0
    ended = foldwise("predict", "run=plain", "tta=hflip,plain", "views=true")
    assert ended.code == 0, ended.err
    plain, flip = Run("plain"), Run("flip")
    assert plain.views(0) == plain.views(2) == ["flip", "hflip", "none"]
    for fold in (0, 2):
        for part in ("oof", "test"):
            wanted = flip.table(fold, part).read_bytes()
            assert plain.table(fold, part, "flip").read_bytes() == wanted
    columns = ["prob_cat", "prob_dog", "prob_owl"]
    both, one, other = (
        read_table(plain.table(2, "test", views))[0][columns].to_numpy()
        for views in ("flip", "none", "hflip")
    )
    np.testing.assert_allclose(both, (one + other) / 2, atol=1e-6)
    assert f"{flip.scores()['oof']:.4f}" in next(x for x in ended.out.splitlines() if "flip" in x)
    assert "folds 1, 3, 4 of plain are not finished" in ended.err
    assert foldwise("predict", "run=plain", "tta=zoom:1.20,plain", "fold=2").code == 0
    assert set(plain.views(2)) - set(plain.views(0)) == {"plain_zoom=1.2"}


def test_rows_with_the_class_prior_keep_it(foldwise: Callable[..., Ended], pets: Path) -> None:
    (pets / "test" / "te003.png").write_bytes(b"")
    assert foldwise(*COMMAND, *QUICK, "fold=1", "images.broken=prior").code == 0
    assert foldwise("predict", "run=r", "tta=d4").code == 0
    run = Run("r")
    own, other = (read_table(run.table(1, "test", views)) for views in ("", "d4"))
    assert own[1].prior == other[1].prior == ["te003"]
    columns = ["prob_cat", "prob_dog", "prob_owl"]
    same = (own[0][columns] == other[0][columns]).all(axis=1)
    assert own[0]["id"][same].tolist() == ["te003"]
    (pets / "test" / "te004.png").unlink()
    ended = foldwise("predict", "run=r", "tta=d4")
    assert ended.code == 1 and "te004" in ended.err


def test_a_debug_run_predicts_its_two_batches(foldwise: Callable[..., Ended], pets: Path) -> None:
    words = ("competition=pets", "debug=true", "train.batch_size=4", "fold=0")
    assert foldwise(*words).code == 0
    assert foldwise("predict", "run=pets-default-debug", "tta=none").code == 0
    run = Run("pets-default-debug")
    for part in ("oof", "test"):
        again = run.table(0, part, "none").read_bytes()
        assert again == run.table(0, part).read_bytes()


def test_what_cannot_predict_is_refused_in_one_line(
    foldwise: Callable[..., Ended], pets: Path
) -> None:
    assert foldwise(*COMMAND, *QUICK, "fold=0,3").code == 0

    def refused(code: int, text: str, *words: str) -> None:
        ended = foldwise("predict", *words)
        assert (ended.code, "Traceback" in ended.err) == (code, False)
        assert text in ended.err.splitlines()[-1]

    refused(1, "there is no run 'rr' in oof; did you mean 'r'?", "run=rr", "tta=flip")
    refused(2, "run=r needs input=: an image, a folder or a list of images, or tta=:", "run=r")
    refused(1, "there is no run 'nope'", "run=nope")
    refused(2, "there is no view 'flp'", "run=r", "tta=flp")
    refused(2, "views=yes is not true or false", "run=r", "tta=flip", "views=yes")
    refused(2, "no key 'fodl'; did you mean 'fold'?", "run=r", "tta=flip", "fodl=0")
    refused(1, "folds 1, 2 of r are not finished", "run=r", "tta=flip", "fold=0..3")
    refused(2, "out of range", "run=r", "tta=flip", "fold=5")
    long = ",".join(f"shift:1:{n}" for n in range(2, 20))
    refused(2, "too long a name", "run=r", f"tta={long}")
    run = Run("r")
    with run.fold_log(3):
        refused(1, "fold 3 of r is being trained", "run=r", "tta=flip")
    for fold in (0, 3):
        run.model_file(fold).unlink()
    refused(1, "r has no network to predict with", "run=r", "tta=flip")
    assert not list(run.folder.glob("fold3/*flip*"))
