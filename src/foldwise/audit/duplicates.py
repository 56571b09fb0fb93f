"""Exact and near duplicates among images, and the groups that they make."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.audit.confirm import confirmed, detail, luminance
from foldwise.audit.descriptors import candidates
from foldwise.audit.scan import SIDE, Scan, scan

PLAIN = 1.0  # deviation of fine structure (0..255) below which an image has none to compare
BIG = 200_000  # images; from here on the search's time is announced


def duplicate_groups(files: list[str], workers: int) -> list[str]:
    """A group's name for each file: duplicates, also of duplicates, share one.

    The name is the group's smallest path below the folder that all files share, so it depends
    neither on the rows' order nor on where the competition lies. Deterministic.
    """
    found = scan(files, workers)
    group = group_numbers(len(files), duplicates(found, workers))
    base = os.path.commonpath([str(Path(file).parent) for file in files]) if files else ""
    names = [file.removeprefix(base).lstrip("/") for file in files]
    smallest: dict[int, str] = {}
    for number, name in zip(group, names, strict=True):
        smallest[number] = min(name, smallest.get(number, name))
    return [smallest[number] for number in group]


def duplicates(found: Scan, workers: int) -> pd.DataFrame:
    """All pairs of duplicates: columns a < b (positions), kind, similarity (0 to 1).

    kind: `exact` (the same pixels, whatever the bytes), `near` or `mirrored`. Of images with the
    same pixels only the first is compared with the others, and each of them is paired with that
    first one. Images without structure (constant, a smooth gradient) have only exact
    duplicates: nothing tells whether two of them are one.
    """
    digests = found.facts["digest"].to_numpy()
    first: dict[str, int] = {}
    rows: list[tuple[int, int, str, float]] = []
    for n in np.flatnonzero(found.whole).tolist():
        if first.setdefault(digests[n], n) != n:
            rows.append((first[digests[n]], n, "exact", 1.0))
    # In an order that does not depend on the table's, and so neither does what is found.
    single = np.array([first[digest] for digest in sorted(first)], int)
    single = single[_structured(found.thumbs, single)]
    thumbs = found.thumbs[single]
    if len(single) > BIG:
        minutes = len(single) ** 2 * 1.5e-9 / 60
        print(f"comparing {len(single):,} images with one another: about {minutes:.0f} minutes")
    pairs = candidates(thumbs)
    same, similarity = confirmed(thumbs, pairs, workers)
    for (i, j, mirrored), value in zip(pairs[same], similarity[same], strict=True):
        kind = "mirrored" if mirrored else "near"
        rows.append((single[i], single[j], kind, round(float(value), 4)))
    frame = pd.DataFrame(rows, columns=["a", "b", "kind", "similarity"])
    places = frame[["a", "b"]].to_numpy(int).reshape(-1, 2)
    frame["a"], frame["b"] = places.min(1), places.max(1)
    return frame.sort_values(["a", "b"], ignore_index=True)


def _structured(thumbs: np.ndarray, places: np.ndarray) -> np.ndarray:
    """bool (n,): the images with enough fine structure to be compared by it."""
    kept = np.zeros(len(places), bool)
    for n in range(0, len(places), 4096):
        planes = detail(luminance(thumbs[places[n : n + 4096]]))
        kept[n : n + 4096] = planes[:, 2 : SIDE - 2, 2 : SIDE - 2].std((1, 2)) >= PLAIN
    return kept


def group_numbers(n: int, pairs: pd.DataFrame) -> np.ndarray:
    """int (n,): the connected component of each image, where pairs are edges."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    one, other = (pairs[name].to_numpy(np.int64) for name in ("a", "b"))
    edges = coo_array((np.ones(len(one), np.int8), (one, other)), shape=(n, n))
    return connected_components(edges, directed=False)[1]
