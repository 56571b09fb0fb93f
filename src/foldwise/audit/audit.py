"""What is wrong with a competition's data: a table on the screen, audit.json and audit.png."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from foldwise.audit import oddities
from foldwise.audit.duplicates import duplicates, group_numbers
from foldwise.audit.figure import draw
from foldwise.audit.findings import findings, table
from foldwise.audit.scan import Scan, scan
from foldwise.audit.shift import adversarial, leaks
from foldwise.competition.layout import CompetitionData
from foldwise.files import shown, write_bytes, write_json

PLACES = {(True, True): "train", (False, False): "test"}  # of a pair; otherwise across


def audit(data: CompetitionData, folder: Path, workers: int) -> dict[str, Any]:
    """Looks at all images and labels, prints a table, writes audit.json and audit.png.

    Both files are replaced. Broken images are listed and take no further part. audit.json, which
    is also what is returned (an image is {"part", "id"}, with "label" in train; numbers are finite
    or null; lists are complete, in the tables' order unless said):

    - version: 1. competition, task
    - images: train, test (rows with an image), missing (test rows without one), sizes {train,
      test}: different, frequent, width and height (0, 5, 50, 95, 100 %), formats, modes
    - balance: counts {label: rows}, quantiles for regression
    - broken: images, with reason. odd: {tiny, huge, constant, elongated, rotated, unusual: images,
      with what}
    - duplicates: counts {train, test, across: {exact, near, mirrored: pairs}}, pairs: a, b, kind,
      similarity 0..1, labels_differ (null unless both have one); of several images with the same
      pixels each is paired with the first. groups: lists of images, also duplicates of duplicates
    - conflicts: the pairs whose labels differ, most similar first
    - shift: see foldwise.audit.shift.adversarial. leaks: see foldwise.audit.shift.leaks
    - findings: alarm (3 first of all … 1 good to know), what, do, examples
    """
    task = data.task
    if task == "regression" and len(data.classes) > 1:  # of several numbers the first
        first = [f"{value:g}" for value in data.targets.values[:, 0]]
        data = replace(data, train=data.train.assign(label=first))
    rows = all_rows(data)
    found = scan(rows["file"].tolist(), workers)
    train = (rows["part"] == "train").to_numpy()
    pairs = duplicates(found, workers)
    result: dict[str, Any] = {
        "version": 1,
        "competition": data.folder.name,
        "task": task,
        "images": _images(data, found.facts, train),
        "balance": oddities.balance(data.train["label"], task),
        "broken": [
            _image(rows, n) | {"reason": reason}
            for n, reason in oddities.broken(found.facts).items()
        ],
        "odd": {
            kind: [_image(rows, n) | {"what": what} for n, what in images]
            for kind, images in oddities.odd(found.facts).items()
        },
        **_duplicates(rows, pairs, task),
    }
    result["shift"] = adversarial(
        found.facts[train & found.whole], found.facts[~train & found.whole]
    )
    part = Scan(found.facts[train].reset_index(drop=True), found.thumbs[: train.sum()])
    labels, names = data.train["label"].tolist(), data.train["id"].tolist()
    result["leaks"] = leaks(part, labels, task, names)
    result["findings"] = findings(result)
    result = finite(result)
    write_json(folder / "audit.json", result)
    write_bytes(folder / "audit.png", draw(result, rows, found))
    print(table(result))
    print(f"all of it: {shown(folder / 'audit.json')}, examples: {shown(folder / 'audit.png')}")
    return result


def all_rows(data: CompetitionData) -> pd.DataFrame:
    """Columns part, id, label ('' in test), file: the train rows, then the test rows that have an
    image."""
    parts = [data.train.assign(part="train")[["part", "id", "label", "file"]]]
    if data.test is not None:
        test = data.test[data.test["file"] != ""]
        parts.append(test.assign(part="test", label="")[["part", "id", "label", "file"]])
    return pd.concat([part.astype(object) for part in parts], ignore_index=True)


def _image(rows: pd.DataFrame, n: int) -> dict[str, str]:
    part, name, label = (rows[column].iat[n] for column in ("part", "id", "label"))
    return {"part": part, "id": name} | ({"label": label} if part == "train" else {})


def _images(data: CompetitionData, facts: pd.DataFrame, train: np.ndarray) -> dict[str, Any]:
    missing = [] if data.test is None else list(data.test["id"][data.test["file"] == ""])
    return {
        "train": int(train.sum()),
        "test": int((~train).sum()),
        "missing": missing,
        "sizes": {"train": oddities.sizes(facts[train]), "test": oddities.sizes(facts[~train])},
    }


def _duplicates(rows: pd.DataFrame, pairs: pd.DataFrame, task: str) -> dict[str, Any]:
    train = (rows["part"] == "train").to_numpy()
    labels = rows["label"].tolist()
    deviation = float(np.std(np.array(rows["label"][train], float))) if task == "regression" else 0
    counts = {
        place: dict.fromkeys(("exact", "near", "mirrored"), 0)
        for place in ("train", "test", "across")
    }
    listed, conflicts = [], []
    for a, b, kind, similarity in pairs.itertuples(index=False):
        place = PLACES.get((bool(train[a]), bool(train[b])), "across")
        counts[place][kind] += 1
        differ = None
        if place == "train":
            differ = oddities.conflicting(labels[a], labels[b], task, deviation)
        pair = {
            "a": _image(rows, a), "b": _image(rows, b), "kind": kind, "similarity": similarity,
            "labels_differ": differ,
        }  # fmt: skip
        listed.append(pair)
        if differ:
            conflicts.append(pair)
    conflicts.sort(key=lambda pair: -pair["similarity"])
    numbers = group_numbers(len(rows), pairs)
    groups: dict[int, list[dict[str, str]]] = {}
    several = np.flatnonzero(np.bincount(numbers)[numbers] > 1)
    for n in several.tolist():
        groups.setdefault(numbers[n], []).append(_image(rows, n))
    return {
        "duplicates": {"counts": counts, "pairs": listed, "groups": list(groups.values())},
        "conflicts": conflicts,
    }


def finite(value: Any) -> Any:
    """The same with plain Python numbers, and None for those that are not finite."""
    if isinstance(value, dict):
        return {str(key): finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
