"""corrections.csv changes what is trained on, never the split or what is scored."""

import numpy as np
import pytest

from foldwise.competition.corrections import training_targets
from foldwise.competition.folds import frozen_folds
from foldwise.config import Competition, Config, Folds
from foldwise.errors import FoldwiseError, UsageError
from foldwise.provenance import read_table
from foldwise.runs import Run
from helpers import QUICK

TABLES = {"train.csv": "id,label\n1,cat\n2,dog\n3,cat\n4,dog\n"}
IMAGES = [f"train/{i}.png" for i in range(1, 5)]


def corrected(read, text, **settings):
    data = read(TABLES | {"corrections.csv": text}, IMAGES)
    return data, training_targets(data, Competition(**settings))


def test_labels_and_drops(read):
    data, mended = corrected(read, "id,label,reason\n2,cat,looks like one\n4,drop,blurred\n")
    assert mended.values.tolist() == [0, 0, 0, 1] and mended.kept.tolist() == [True] * 3 + [False]
    assert data.targets.values.tolist() == [0, 1, 0, 1]
    assert "1 training labels corrected, 1 dropped" in mended.said


def test_off_and_absent(read):
    data, mended = corrected(read, "id,label\n2,cat\n", corrections="off")
    assert mended.values is data.targets.values and mended.setting == "off"
    data = read(TABLES, IMAGES)
    (data.folder / "corrections.csv").unlink()
    assert training_targets(data, Competition()).setting == "auto"


def test_the_digest_is_of_what_is_corrected(read):
    _, one = corrected(read, "id,label,reason\n2,cat,a\n4,drop,b\n")
    _, same = corrected(read, "reason,label,id\nz,drop,4\ny,cat,2\n")
    _, other = corrected(read, "id,label\n2,cat\n")
    assert one.setting == same.setting != other.setting
    with pytest.raises(UsageError, match=f"corrections={one.setting} are not those of"):
        corrected(read, "id,label\n2,cat\n", corrections=one.setting)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,label\n9,cat\n", "row 2: no training row has the id '9'"),
        ("id,label\n2,cow\n", "labels that competition.classes does not name: cow"),
        ("id,label\n2,cat\n2,dog\n", "corrected ids more than once: '2'"),
        ("id,label\n2,\n", "row 2: column 'label' is empty"),
        ("id\n2\n", "no column 'label'"),
        ("id,label\n1,drop\n2,drop\n3,drop\n4,drop\n", "drops every training row"),
    ],
)
def test_bad_corrections(read, text, message):
    with pytest.raises(FoldwiseError, match=message):
        corrected(read, text)


def test_the_split_never_changes_by_it(read):
    config = Config(folds=Folds(k=2))
    before = frozen_folds(read(TABLES, IMAGES), config)
    data, _ = corrected(read, "id,label\n2,cat\n4,drop\n")
    assert frozen_folds(data, config).hash == before.hash


def test_a_run_knows_its_corrections(pets, foldwise):
    words = ("competition=pets", "fold=0", *QUICK)
    assert foldwise(*words, "run=plain").code == 0
    (pets / "corrections.csv").write_text("id,label,reason\ntr001,drop,x\ntr002,cat,y\n")
    ended = foldwise(*words, "fold=1", "run=plain")
    assert ended.code == 1 and "competition.corrections: auto -> " in ended.err
    assert foldwise(*words, "fold=1", "run=plain", "competition.corrections=off").code == 1
    ended = foldwise(*words, "run=mended")
    assert ended.code == 0 and "1 training labels corrected, 1 dropped" in ended.err
    tables = [read_table(Run(name).folder / "oof.parquet")[0] for name in ("plain", "mended")]
    assert tables[0][["id", "fold", "label"]].equals(tables[1][["id", "fold", "label"]])
    probs = [table.iloc[:, 3:].to_numpy() for table in tables]
    assert not np.array_equal(*probs)  # what was learned is another thing
    hashes = {Run(name).provenance(0).recipe_hash for name in ("plain", "mended")}
    assert len(hashes) == 2
