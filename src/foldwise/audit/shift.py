"""Do train and test images differ, and does something other than the image tell the label?"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from foldwise.audit.scan import CONTENT, Scan

ROWS = 20_000  # rows that classifiers look at; of more, a sample (and the result says so)
FOLDS = 5
FEWEST = 20  # rows on each side below which nothing can be said
TELLS, SURE = 0.03, 5.0  # skill (0 chance, 1 certain) and z from which on a feature is a leak
SHUFFLES = 5
ENOUGH = 10  # rows a class needs to take part
LABELS = 20  # most frequent labels of a multilabel competition, each looked at alone


# Small trees on small tables: threads would wait for one another longer than they work.
@threadpool_limits.wrap(limits=1)
def adversarial(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    """Adversarial validation: can a classifier tell train from test images?

    train, test: facts of the images that decode. Gradient boosting on statistics of the pixels,
    dimensions, file size, format and mode (not on names, times or order, which always differ),
    scored out of fold. Returns auc with its 95 % interval (Hanley and McNeil 1982), the rows that
    were used of how many, and features: name, importance (the AUC lost when the feature is
    shuffled) and the medians of both parts. {"skipped": why} where there is too little.
    """
    if min(len(train), len(test)) < FEWEST:
        return {"skipped": f"needs at least {FEWEST} images that decode in train and in test"}
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    rng = np.random.default_rng(0)
    parts = [part.iloc[_sample(len(part), ROWS // 2, rng)] for part in (train, test)]
    values = pd.concat([_numbers(part) for part in parts], ignore_index=True)
    values = values.loc[:, values.nunique(dropna=False) > 1]
    target = np.repeat([0, 1], [len(part) for part in parts])
    if values.empty:
        return {"skipped": "all images have the same statistics"}
    scores, lost = np.zeros(len(values)), np.zeros((FOLDS, values.shape[1]))
    for k, (fit, held) in enumerate(
        StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(values, target)
    ):
        model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
        model.fit(values.iloc[fit], target[fit])
        given = values.iloc[held].reset_index(drop=True)
        scores[held] = model.predict_proba(given)[:, 1]
        for n, name in enumerate(values):
            other = given.assign(**{name: rng.permutation(given[name].to_numpy())})
            lost[k, n] = roc_auc_score(target[held], scores[held]) - roc_auc_score(
                target[held], model.predict_proba(other)[:, 1]
            )
    auc = float(roc_auc_score(target, scores))
    error = _hanley_mcneil(auc, len(parts[0]), len(parts[1]))
    features = [
        {
            "feature": name,
            "importance": round(float(lost[:, n].mean()), 4),
            "train": _median(values[name][target == 0]),
            "test": _median(values[name][target == 1]),
        }
        for n, name in enumerate(values)
    ]
    features.sort(key=lambda feature: -feature["importance"])
    return {
        "auc": round(auc, 4),
        "interval": [round(max(auc - 1.96 * error, 0), 4), round(min(auc + 1.96 * error, 1), 4)],
        "rows": len(values),
        "of_rows": len(train) + len(test),
        "features": features,
    }


def _median(values: pd.Series) -> float:
    return round(float(values.median()), 3)


def _sample(n: int, limit: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(n) if n <= limit else np.sort(rng.choice(n, limit, replace=False))


def _hanley_mcneil(auc: float, negatives: int, positives: int) -> float:
    """Standard error of an AUC."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return float(np.sqrt(max(variance, 0) / (negatives * positives)))


def _numbers(facts: pd.DataFrame) -> pd.DataFrame:
    """The facts that adversarial validation looks at, as numbers."""
    columns = [*CONTENT, "width", "height", "bytes", "quality", "orientation"]
    values = facts[columns].copy()
    values["aspect"] = values["width"] / values["height"]
    for name in ("format", "mode"):
        values[name] = _codes(facts[name])
    return values.fillna(-1)  # boosting fails on a column without any number


def _codes(texts: pd.Series) -> np.ndarray:
    """Texts as numbers that mean the same in every table: by a digest of each."""
    import zlib

    return np.array([zlib.crc32(str(text).encode()) % 9973 for text in texts], float)


@threadpool_limits.wrap(limits=1)
def leaks(found: Scan, labels: list[str], task: str, names: list[str]) -> dict[str, Any]:
    """What besides the picture tells the label of train rows.

    found: the train rows' scan, in the table's order; names: their ids. One feature at a time, a
    decision tree is scored out of fold: skill = (balanced accuracy - chance) / (1 - chance), and
    chance is what the same tree reaches on shuffled labels. A file's size depends on its content
    and so, honestly, on the label: what is judged there is the part that the pixels (their size
    when encoded again, sharpness, …) do not explain. Regression labels are cut into five classes;
    of a multilabel competition the most frequent labels are looked at one by one.

    Returns tested (feature, skill, z: deviations above the shuffled labels' mean), found: those of
    them with a skill of at least TELLS and a z of at least SURE, strongest first, rows and of_rows.
    """
    rows = _sample(len(labels), ROWS, np.random.default_rng(0))
    rows = rows[found.whole[rows]]
    features = _metadata(found, names).iloc[rows].reset_index(drop=True)
    tested = []
    targets = _targets(np.array(labels, object)[rows], task)
    for feature in features:
        values = features[feature].to_numpy(float)
        if len(np.unique(values[~np.isnan(values)])) + int(np.isnan(values).any()) < 2:
            continue
        results = [(*skill(values, target), about) for about, target in targets]
        if results:
            best, z, about = max(results, key=lambda result: result[0])
            what = {"feature": feature, "skill": round(float(best), 4), "z": round(float(z), 2)}
            tested.append(what | ({"label": about} if about else {}))
    tested.sort(key=lambda one: -float(one["skill"]))
    loud = [one for one in tested if float(one["skill"]) >= TELLS and float(one["z"]) >= SURE]
    result: dict[str, Any] = {"found": loud, "tested": tested}
    if not tested:
        result["skipped"] = f"needs two classes with {ENOUGH} rows each, and metadata that differ"
    return result | {"rows": len(rows), "of_rows": len(labels)}


def _metadata(found: Scan, names: list[str]) -> pd.DataFrame:
    """One column a feature, numbers; one row an image."""
    facts = found.facts
    stems = [Path(file).stem if file else "" for file in facts["file"]]
    table = facts[["mtime", "width", "height", "quality", "orientation"]].copy()
    table.insert(0, "bytes", unexplained_size(facts))
    table["aspect"] = facts["width"] / facts["height"]
    for name in ("format", "mode"):
        table[name] = _codes(facts[name])
    table["row order"] = np.arange(len(facts), dtype=float)
    for what, texts in (("file name", stems), ("id", names)):
        table[f"number in {what}"] = [_number(text) for text in texts]
        table[f"prefix of {what}"] = _codes(pd.Series([_prefix(text) for text in texts]))
        table[f"length of {what}"] = [float(len(text)) for text in texts]
    same = names == stems
    return table[[name for name in table if not (same and str(name).endswith(" of id"))]].drop(
        columns=["number in id"] if same else []
    )


def _number(text: str) -> float:
    found = re.findall(r"\d{1,15}", text)
    return float(found[-1]) if found else np.nan


def _prefix(text: str) -> str:
    """The letters in front of a first separator or number; nothing for codes such as 3fa07c."""
    found = re.match(r"([A-Za-z]+)(?=[^A-Za-z0-9]|\d+$|$)", text)
    return found[1] if found else ""


def unexplained_size(facts: pd.DataFrame) -> np.ndarray:
    """The logarithm of the file's size less what the pixels explain of it; NaN where unknown.

    Out of fold, by gradient boosting on the statistics of the pixels and the dimensions.
    """
    size = np.log(facts["bytes"].to_numpy(float) / facts["complexity"].to_numpy(float))
    known = np.flatnonzero(np.isfinite(size) & (facts["problem"] == "").to_numpy())
    rest = np.full(len(facts), np.nan)
    if len(known) < 2 * FEWEST:
        return rest
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import KFold

    values = _numbers(facts).drop(columns="bytes").iloc[known]
    for fit, held in KFold(3, shuffle=True, random_state=0).split(known):
        chosen = fit[_sample(len(fit), ROWS, np.random.default_rng(0))]
        model = HistGradientBoostingRegressor(max_iter=60, random_state=0)
        model.fit(values.iloc[chosen], size[known[chosen]])
        rest[known[held]] = size[known[held]] - model.predict(values.iloc[held])
    return rest


def _targets(labels: np.ndarray, task: str) -> list[tuple[str, np.ndarray]]:
    """(name, integer classes) of what is to be predicted; -1 for a row that takes no part."""
    if task == "multilabel":
        sets = [set(str(label).split("|")) - {""} for label in labels]
        counts = pd.Series([name for names in sets for name in names]).value_counts()
        found = [(name, np.array([int(name in names) for names in sets])) for name in counts.index]
        return [(n, t) for n, t in found if ENOUGH <= t.sum() <= len(t) - ENOUGH][:LABELS]
    if task == "regression":
        numbers = pd.Series(labels).astype(float)
        codes = pd.qcut(numbers, 5, labels=False, duplicates="drop").to_numpy(int)
        return [("", codes)] if len(np.unique(codes)) > 1 and len(labels) >= 5 * ENOUGH else []
    codes, _ = pd.factorize(labels)
    codes = np.where(np.bincount(codes, minlength=1)[codes] >= ENOUGH, codes, -1)
    return [("", codes)] if len(np.unique(codes[codes >= 0])) > 1 else []


def skill(values: np.ndarray, target: np.ndarray) -> tuple[float, float]:
    """(skill, z) of one feature, float (n,), for classes, int (n,), -1 taking no part."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    used = target >= 0
    column, truth = np.nan_to_num(values[used], nan=-1e12)[:, None], target[used]
    least = max(3, len(truth) // 400)
    tree = DecisionTreeClassifier(min_samples_leaf=least, class_weight="balanced", random_state=0)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)

    def score(labels: np.ndarray) -> float:
        guess = cross_val_predict(tree, column, labels, cv=folds)
        return float(balanced_accuracy_score(labels, guess))

    rng = np.random.default_rng(0)
    chance = [score(rng.permutation(truth)) for _ in range(SHUFFLES)]
    mean = float(np.mean(chance))
    reached = score(truth)
    # Five shuffles tell their spread badly: at least that of so many independent guesses.
    spread = max(float(np.std(chance)), np.sqrt(mean * (1 - mean) / len(truth)), 1e-6)
    return (reached - mean) / max(1 - mean, 1e-6), (reached - mean) / spread
