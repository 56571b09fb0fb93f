"""Any files predicted by a fold's network: as its own test set, in parts, in any order."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from foldwise.prediction import files
from foldwise.provenance import read_table
from foldwise.runs import Run
from helpers import QUICK, Ended

COLUMNS = ["prob_cat", "prob_dog", "prob_owl"]


def test_a_folds_network_on_files(foldwise: Callable[..., Ended], pets: Path, monkeypatch) -> None:
    assert foldwise("competition=pets", "run=r", *QUICK, "fold=1", "tta=flip").code == 0
    run = Run("r")
    table, _ = read_table(run.table(1, "test"))
    names = [str(pets / "test" / f"{name}.png") for name in table["id"]]
    values, broken = files.predict_files(run, 1, names)
    assert not broken
    np.testing.assert_array_equal(values, table[COLUMNS].to_numpy())
    order = np.random.default_rng(0).permutation(len(names))
    monkeypatch.setattr(files, "PART", 7 * 12 * 12 * 3)  # several parts
    names = [names[n] for n in order]
    names[3:3] = [str(pets / "train.csv"), str(pets / "nothing.png")]
    values, broken = files.predict_files(run, 1, names)
    assert {3: "is no image, or cut off"}.items() <= broken.items() and set(broken) == {3, 4}
    assert np.isnan(values[3:5]).all()
    wanted = table[COLUMNS].to_numpy()[order]
    np.testing.assert_allclose(np.delete(values, [3, 4], axis=0), wanted, atol=1e-6)
