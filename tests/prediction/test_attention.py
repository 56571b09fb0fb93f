"""Images under heat maps, from the networks of a run."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from foldwise.competition.metrics import decide_labels
from foldwise.containers import JOINED
from foldwise.prediction.attention import attention, lit
from foldwise.report.predictions import predictions_of
from foldwise.report.sheets import rival_classes
from foldwise.runs import Run
from helpers import QUICK, Ended
from report.made import make_run


def test_what_speaks_for_a_class_stays_bright(tmp_path: Path) -> None:
    path = str(tmp_path / "x.png")
    cv2.imwrite(path, np.full((40, 20, 3), 100, np.uint8))
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0] = 1
    image = lit(path, heat, 40)
    assert image.shape == (40, 20, 3)
    assert image[1, 1].sum() >= 300 > image[-1, -1].sum() == 3 * 45
    assert lit(path, heat, 160).shape == (160, 80, 3)  # small images are enlarged
    assert lit(f"{path}{JOINED}{path}", heat, 40).shape[:2] == (40, 40)
    for cells in (4, 7):  # of the middle 7 eighths of the image: dark around that
        everywhere = lit(path, np.ones((cells, cells), np.float32), 40, share=0.875)
        bright = everywhere.sum(axis=2) > 200
        assert bright[3:37, 2:18].all() and not bright[:2].any() and not bright[:, 19:].any()


@pytest.mark.parametrize("task", ["multiclass", "ordinal", "regression"])
def test_each_row_is_seen_by_the_network_that_never_saw_it(
    foldwise: Callable[..., Ended], pets: Path, task: str
) -> None:
    train = (pets / "train.csv").read_text()
    for n, name in enumerate(("cat", "dog", "owl")):
        train = train.replace(f",{name}", f",{n}")
    (pets / "train.csv").write_text(train)
    (pets / "sample_submission.csv").unlink()
    seen = "images.crop_pct=0.8" if task == "ordinal" else "images.crop_pct=1"
    words = ("competition=pets", f"competition.task={task}", *QUICK, seen, "run=r", "fold=0,1")
    assert foldwise(*words).code == 0
    files = [str(pets / "train" / f"tr{n:03d}.png") for n in range(3)]
    images = attention(Run("r"), [(files[0], 1, 0), (files[1], 0, 0), (files[0], 1, 0)], 48)
    assert len(images) == 3 and images[0].shape == (48, 48, 3)
    np.testing.assert_array_equal(images[0], images[2])
    assert (images[0] != images[1]).any()


def test_the_classes_that_matter(home: Path) -> None:
    run = make_run("r")
    oof, _ = run.oof_table()
    predictions = predictions_of(run.config().competition, oof)
    decided = decide_labels(predictions.values, predictions.settings)
    for row in range(50):
        said, other = rival_classes(predictions, row)
        assert said == decided[row]
        if predictions.good[row] == 0:
            assert other == predictions.targets[row]
        else:
            assert other == np.argsort(predictions.values[row])[-2]
