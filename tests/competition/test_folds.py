"""Folds are made once, are the same whatever order the rows are in, and are verified ever after."""

import errno
import json
import random
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldwise.competition.folds import frozen_folds
from foldwise.competition.layout import CompetitionData
from foldwise.competition.targets import of_labels
from foldwise.config import Competition
from foldwise.errors import FoldwiseError, UsageError


def names(folder):
    """What is in a folder, hidden files too, sorted."""
    return sorted(path.name for path in folder.iterdir())


def targets(train):
    return of_labels(train["label"].tolist(), Competition(), "multiclass", "train.csv")


def with_train(data, train, **other):
    """The data with another train table."""
    return replace(data, train=train, targets=targets(train), **other)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Builds a competition of n rows with labels of uneven classes and groups of a few rows."""
    monkeypatch.chdir(tmp_path)

    def build(n=200, labels=None, groups=None, ids=None) -> CompetitionData:
        source = random.Random(0)
        labels = labels or [source.choice("aaaaabbbcc") for _ in range(n)]
        ids = ids or [f"{i:04d}" for i in range(len(labels))]
        train = pd.DataFrame({"id": ids, "label": labels, "file": ids})
        if groups is not False:
            train["group"] = groups or [f"g{i // 4}" for i in range(len(labels))]
        return CompetitionData(tmp_path, train, targets(train), None, None, [], [])

    return build


def by_id(data, frozen):
    return dict(zip(data.train["id"], frozen.fold.tolist(), strict=True))


def shuffled(data, seed=1):
    return with_train(data, data.train.sample(frac=1, random_state=seed).reset_index(drop=True))


def forget(folder):
    for name in ("folds.csv", "folds.json"):
        (folder / name).unlink(missing_ok=True)


METHODS = {
    "stratified": {},
    "stratified_group": {"folds__group": "group"},
    "group": {"folds__group": "group", "folds__method": "group"},
}


@pytest.fixture(params=METHODS)
def method(request):
    return request.param


# Making -------------------------------------------------------------------------------------------


def test_made_once_and_read_again(data, settings, tmp_path, method):
    rows, config = data(), settings(**METHODS[method])
    made = frozen_folds(rows, config)
    assert made.k == 5 and made.fold.dtype == np.int64 and len(made.hash) == 64
    assert set(made.fold.tolist()) == {0, 1, 2, 3, 4}
    table = pd.read_csv(tmp_path / "folds.csv", dtype=str)
    assert list(table.columns) == ["id", "fold"]
    assert table["id"].tolist() == rows.train["id"].tolist()
    assert table["fold"].astype(int).tolist() == made.fold.tolist()
    facts = json.loads((tmp_path / "folds.json").read_text())
    assert facts["method"] == method and facts["k"] == 5 and facts["seed"] == 0
    assert facts["rows"] == 200 and facts["scikit_learn"]
    before = (tmp_path / "folds.csv").read_bytes(), (tmp_path / "folds.json").read_bytes()
    again = frozen_folds(rows, config)
    assert again.hash == made.hash and (again.fold == made.fold).all()
    assert before == ((tmp_path / "folds.csv").read_bytes(), (tmp_path / "folds.json").read_bytes())
    assert names(tmp_path) == ["folds.csv", "folds.json"]


def test_permuting_rows_changes_no_fold(data, settings, tmp_path, method):
    rows, config = data(), settings(**METHODS[method])
    made = frozen_folds(rows, config)
    for seed in range(3):
        other = shuffled(rows, seed)
        read = frozen_folds(other, config)
        forget(tmp_path)
        fresh = frozen_folds(other, config)
        assert by_id(other, read) == by_id(other, fresh) == by_id(rows, made)
        assert read.hash == fresh.hash == made.hash


@pytest.mark.parametrize("name", ["group", "stratified_group"])
def test_groups_never_straddle_folds(data, settings, name):
    rows = data()
    made = frozen_folds(rows, settings(**METHODS[name]))
    assert pd.Series(made.fold).groupby(rows.train["group"]).nunique().max() == 1


@pytest.mark.parametrize("k", [2, 3, 7])
def test_stratified_folds_are_balanced(data, settings, k):
    rows = data()
    made = frozen_folds(rows, settings(folds__k=k))
    table = pd.crosstab(made.fold, rows.train["label"].to_numpy())
    assert (table.max() - table.min()).max() <= 1
    assert np.ptp(np.bincount(made.fold)) <= len(rows.classes)


def test_seed_matters(data, settings, tmp_path):
    rows = data()
    first = frozen_folds(rows, settings())
    forget(tmp_path)
    assert frozen_folds(rows, settings(folds__seed=1)).hash != first.hash


def test_hash_knows_labels_and_folds_only(data, settings, tmp_path):
    first = frozen_folds(data(), settings())
    forget(tmp_path)
    assert frozen_folds(data(groups=False), settings()).hash == first.hash
    labels = ["a", "b"] * 100
    forget(tmp_path)
    assert frozen_folds(data(labels=labels), settings()).hash != first.hash


def test_odd_ids(data, settings):
    ids = (
        [f"a,{i}" for i in range(10)]
        + [f'"q" {i}' for i in range(10)]
        + [f"ü/{i}" for i in range(10)]
    )
    rows = data(labels=["x", "y", "z"] * 10, ids=ids)
    assert frozen_folds(rows, settings()).hash == frozen_folds(rows, settings()).hash


@pytest.mark.parametrize("method", ["group", "stratified_group"])
def test_group_method_without_group(data, settings, method):
    with pytest.raises(UsageError, match=f"folds.method={method} wants folds.group=COLUMN"):
        frozen_folds(data(), settings(folds__method=method))


def test_stratified_with_group(data, settings):
    with pytest.raises(UsageError, match=r"say folds.method=stratified_group"):
        frozen_folds(data(), settings(folds__method="stratified", folds__group="group"))


def test_rare_classes(data, settings, tmp_path):
    rows = data(labels=["a"] * 20 + ["b"] * 20 + ["c"] * 3 + ["d"])
    message = r"2 classes have fewer rows than the 5 folds: c \(3\), d \(1\): say folds.rare=allow"
    with pytest.raises(FoldwiseError, match=message) as caught:
        frozen_folds(rows, settings())
    assert caught.value.exit_code == 1 and names(tmp_path) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = frozen_folds(rows, settings(folds__rare="allow"))
    assert set(made.fold.tolist()) == set(range(5))
    frozen_folds(rows, settings())  # once frozen, folds.rare is not asked again


def test_every_class_rare(data, settings):
    with pytest.raises(
        FoldwiseError, match="no class has 5 rows, the largest has 3: say a smaller"
    ):
        frozen_folds(data(labels=["a", "b"] * 3), settings(folds__rare="allow"))


def test_fewer_groups_than_folds(data, settings, tmp_path):
    rows = data(groups=["p", "q"] * 100)
    for name in ("group", "stratified_group"):
        with pytest.raises(FoldwiseError, match="column 'group' has 2 groups, too few for 5 folds"):
            frozen_folds(rows, settings(**METHODS[name]))
    assert names(tmp_path) == []


def test_read_only_folder(data, settings, monkeypatch, tmp_path):
    def refuse(_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("foldwise.files.os.fsync", refuse)
    with pytest.raises(FoldwiseError, match=r"folds.json cannot be written .*FOLDWISE_HOME"):
        frozen_folds(data(), settings())
    assert names(tmp_path) == []


# Verifying ----------------------------------------------------------------------------------------


def test_rows_added_removed_relabelled(data, settings, tmp_path):
    rows, config = data(), settings()
    frozen_folds(rows, config)
    before = (tmp_path / "folds.csv").read_bytes()
    new = pd.DataFrame({"id": ["new1", "new2"], "label": ["a", "b"]})
    cases = {
        r"2 added \(new1, new2\)": pd.concat([rows.train, new], ignore_index=True),
        r"1 removed \(0007\)": rows.train.drop(index=7).reset_index(drop=True),
        r"1 relabelled \(0009\)": rows.train.assign(
            label=[
                ("c" if label != "c" else "a") if i == 9 else label
                for i, label in enumerate(rows.train["label"])
            ]
        ),
        r"1 added \(x7\), 1 removed \(0007\)": rows.train.replace({"id": {"0007": "x7"}}),
    }
    for message, train in cases.items():
        with pytest.raises(FoldwiseError, match=message) as caught:
            frozen_folds(with_train(rows, train), config)
        assert "delete folds.csv and folds.json to split anew" in str(caught.value)
        assert "\n" not in str(caught.value) and caught.value.exit_code == 1
    assert (tmp_path / "folds.csv").read_bytes() == before


def test_every_relabelled_row_is_found(data, settings):
    rows, config = data(), settings()
    frozen_folds(rows, config)
    swapped = ["b" if label == "a" else "a" for label in rows.train["label"]]
    train = rows.train.assign(label=swapped)
    with pytest.raises(FoldwiseError, match=r"200 relabelled \(0000, 0001, .* and 195 more\)"):
        frozen_folds(with_train(rows, train), config)


def test_dropped_rows_are_no_removed_rows(data, settings):
    """images.missing=drop leaves rows out of a competition whose folds know them."""
    rows, config = data(), settings()
    whole = by_id(rows, frozen_folds(rows, config))
    fewer = with_train(rows, rows.train.drop(index=7).reset_index(drop=True), dropped=["0007"])
    part = by_id(fewer, frozen_folds(fewer, config))
    assert part == {name: fold for name, fold in whole.items() if name != "0007"}


def test_group_column_that_changed(data, settings):
    config = settings(folds__group="group")
    rows = data()
    frozen_folds(rows, config)
    train = rows.train.assign(group=[f"h{i % 10}" for i in range(200)])
    with pytest.raises(
        FoldwiseError, match="10 groups of column 'group' are in more than one fold: h0"
    ):
        frozen_folds(with_train(rows, train), config)


def test_changed_folds_csv(data, settings, tmp_path):
    rows, config = data(), settings()
    frozen_folds(rows, config)
    table = pd.read_csv(tmp_path / "folds.csv", dtype=str)
    table.loc[3, "fold"] = str((int(table.loc[3, "fold"]) + 1) % 5)
    table.to_csv(tmp_path / "folds.csv", index=False)
    with pytest.raises(FoldwiseError, match=r"folds.csv was changed after folds.json was written"):
        frozen_folds(rows, config)


def test_reordered_folds_csv_is_fine(data, settings, tmp_path):
    rows, config = data(), settings()
    made = frozen_folds(rows, config)
    table = pd.read_csv(tmp_path / "folds.csv", dtype=str)
    table[::-1].to_csv(tmp_path / "folds.csv", index=False)
    assert frozen_folds(rows, config).hash == made.hash


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"folds__k": 4},
            "frozen with folds.k=5, and the settings now say folds.k=4: say folds.k=5",
        ),
        ({"folds__seed": 3}, "frozen with folds.seed=0, and the settings now say folds.seed=3"),
        (
            {"folds__group": "group"},
            "folds.group= folds.method=stratified, and .* folds.group=group",
        ),
    ],
)
def test_settings_that_contradict(data, settings, values, message):
    frozen_folds(data(), settings())
    with pytest.raises(FoldwiseError, match=message):
        frozen_folds(data(), settings(**values))


def test_settings_left_at_their_defaults_take_what_is_frozen(data, settings):
    made = frozen_folds(data(), settings(folds__k=4, folds__seed=3))
    assert frozen_folds(data(), settings()).hash == made.hash
    assert frozen_folds(data(), settings()).k == 4


def test_lost_folds_csv_is_made_again(data, settings, tmp_path):
    rows, config = data(), settings()
    made = frozen_folds(rows, config)
    before = (tmp_path / "folds.csv").read_bytes()
    (tmp_path / "folds.csv").unlink()
    assert frozen_folds(rows, config).hash == made.hash
    assert (tmp_path / "folds.csv").read_bytes() == before
    (tmp_path / "folds.csv").unlink()
    with pytest.raises(
        FoldwiseError, match=r"folds.csv is missing, .* put folds.csv back, or delete"
    ):
        frozen_folds(data(n=100), config)


@pytest.mark.parametrize("text", ["", "[1]", '{"k": 5}', "\x00"])
def test_damaged_folds_json(data, settings, tmp_path, text):
    rows, config = data(), settings()
    frozen_folds(rows, config)
    (tmp_path / "folds.json").write_text(text)
    with pytest.raises(FoldwiseError, match=r"folds.json (is damaged|cannot be read)"):
        frozen_folds(rows, config)


# A split of the user's own ------------------------------------------------------------------------


def supply(folder: Path, rows, fold, header="id,fold"):
    lines = [f"{name},{number}" for name, number in zip(rows.train["id"], fold, strict=True)]
    (folder / "folds.csv").write_text("\n".join([header, *lines]) + "\n")


def test_supplied(data, settings, tmp_path):
    rows = data()
    fold = [i % 3 for i in range(200)]
    supply(tmp_path, rows, fold)
    before = (tmp_path / "folds.csv").read_bytes()
    frozen = frozen_folds(rows, settings())
    assert frozen.k == 3 and frozen.fold.tolist() == fold
    assert json.loads((tmp_path / "folds.json").read_text())["method"] == "supplied"
    assert frozen_folds(shuffled(rows), settings(folds__k=3, folds__seed=9)).hash == frozen.hash
    assert (tmp_path / "folds.csv").read_bytes() == before
    with pytest.raises(FoldwiseError, match=r"frozen with folds.k=3, .* folds.k=4"):
        frozen_folds(rows, settings(folds__k=4))
    label = rows.train["label"].tolist()
    train = rows.train.assign(label=["a" if label[0] != "a" else "b", *label[1:]])
    with pytest.raises(FoldwiseError, match=r"1 relabelled \(0000\)"):
        frozen_folds(with_train(rows, train), settings())


def test_supplied_with_other_columns(data, settings, tmp_path):
    rows = data()
    lines = [f"{i},{name},{i % 2}.0,x" for i, name in enumerate(rows.train["id"])]
    (tmp_path / "folds.csv").write_text("\n".join([",image_id,kfold,note", *lines]))
    frozen = frozen_folds(rows, settings())
    assert frozen.k == 2 and frozen.fold.tolist() == [i % 2 for i in range(200)]


def test_supplied_knows_dropped_rows(data, settings, tmp_path):
    rows = data()
    supply(tmp_path, rows, [i % 2 for i in range(200)])
    fewer = with_train(rows, rows.train[1:].reset_index(drop=True), dropped=["0000"])
    frozen_folds(fewer, settings())
    assert len(frozen_folds(rows, settings()).fold) == 200  # the image is back


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        (lambda i: i % 3 + 1, "has the folds 1, 2, 3: number at least two folds 0, 1, 2, …"),
        (lambda i: i % 2 * 2, "has the folds 0, 2: number"),
        (lambda i: 0, "has the folds 0: number at least two"),
        (lambda i: "x" if i == 3 else i % 2, "row 5: 'x' is not a fold"),
        (lambda i: "" if i == 3 else i % 2, "row 5: '' is not a fold"),
        (lambda i: -1 if i == 3 else i % 2, "row 5: '-1' is not a fold"),
        (lambda i: 0.5 if i == 3 else i % 2, "row 5: '0.5' is not a fold"),
    ],
)
def test_supplied_numbers(data, settings, tmp_path, fold, message):
    rows = data()
    supply(tmp_path, rows, [fold(i) for i in range(200)])
    with pytest.raises(FoldwiseError, match=message):
        frozen_folds(rows, settings())
    assert names(tmp_path) == ["folds.csv"]


def test_supplied_ids(data, settings, tmp_path):
    rows = data()
    fold = [i % 2 for i in range(200)]
    other = replace(
        rows, train=rows.train.assign(id=[name.lstrip("0") or "0" for name in rows.train["id"]])
    )
    supply(tmp_path, other, fold)
    with pytest.raises(
        FoldwiseError, match=r"does not fit the train table, .* 200 added \(0000.* 200 removed"
    ):
        frozen_folds(rows, settings())
    supply(tmp_path, with_train(rows, pd.concat([rows.train, rows.train[:1]])), [*fold, 1])
    with pytest.raises(FoldwiseError, match=r"1 train ids more than once: '0000' \(rows 2, 202\)"):
        frozen_folds(rows, settings())
    supply(tmp_path, rows, fold, header="id,part")
    with pytest.raises(FoldwiseError, match="no fold column; the columns there are id, part"):
        frozen_folds(rows, settings())
    supply(tmp_path, rows, fold)
    with pytest.raises(
        FoldwiseError, match="50 groups of column 'group' are in more than one fold"
    ):
        frozen_folds(rows, settings(folds__group="group"))
    assert names(tmp_path) == ["folds.csv"]
