"""Exact and near duplicates among images, and the groups that they make."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from foldwise.audit.confirm import confirmed, confirmed_by_detail, detail, luminance
from foldwise.audit.descriptors import candidates
from foldwise.audit.scan import SIDE, Scan, pixels, scan
from foldwise.bar import counted

PLAIN = 1.0  # deviation of fine structure (0..255) below which an image has none to compare
LARGE = 64  # pixels of the shorter side from which on pairs are compared in detail
MANY, SURE = 0.3, 0.98  # share of images with a twin, and similarity: see _least
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
    duplicates: nothing tells whether two of them are one; and of simple images that are all alike
    (digits) only those that agree almost in every pixel are duplicates.
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
        minutes = len(single) ** 2 * 6e-9 / 60  # 14 s for 60,000 on 2 cores
        print(
            f"comparing {len(single):,} images with one another: about {minutes:.0f} minutes",
            file=sys.stderr,
        )
    with threadpool_limits(workers or None):
        pairs = candidates(thumbs)
    same, similarity = confirmed(thumbs, pairs, workers)
    pairs, similarity = pairs[same], similarity[same]
    kept = _in_detail(found.facts, single[pairs[:, :2]], pairs[:, 2] == 1, workers)
    pairs, similarity = pairs[kept], similarity[kept]
    kept = similarity >= _least(pairs, similarity, len(single))
    for (i, j, mirrored), value in zip(pairs[kept], similarity[kept], strict=True):
        kind = "mirrored" if mirrored else "near"
        rows.append((single[i], single[j], kind, round(float(value), 4)))
    frame = pd.DataFrame(rows, columns=["a", "b", "kind", "similarity"])
    places = frame[["a", "b"]].to_numpy(int).reshape(-1, 2)
    frame["a"], frame["b"] = places.min(1), places.max(1)
    return frame.sort_values(["a", "b"], ignore_index=True)


def _least(pairs: np.ndarray, similarity: np.ndarray, images: int) -> float:
    """The similarity that a duplicate needs where images are of one simple kind, else 0.

    Digits and letters all look like one another: many have a "twin", and few twins are as alike as
    copies are. Frames of a film have as many twins, and these are as alike as copies.
    """
    twins = len(np.unique(pairs[:, :2])) / max(images, 1)
    alike = float((similarity >= SURE).mean()) if len(similarity) else 1.0
    return SURE if twins > MANY and alike < 0.5 else 0.0


def _in_detail(
    facts: pd.DataFrame, places: np.ndarray, mirrored: np.ndarray, workers: int
) -> np.ndarray:
    """bool (m,): the pairs (m, 2) that are duplicates at a higher resolution too, as far as both
    images have one; they are decoded again, two at a time for each worker."""
    files = facts["file"].to_numpy(object)
    large = (facts[["width", "height"]].min(axis=1) >= LARGE).to_numpy()[places].all(axis=1)

    def agree(n: int) -> bool:
        one, other = (pixels(files[place]) for place in places[n])
        return confirmed_by_detail(one[:, ::-1] if mirrored[n] else one, other)

    kept = np.ones(len(places), bool)
    chosen = np.flatnonzero(large)
    with (
        threadpool_limits(1),
        ThreadPoolExecutor(workers or None) as pool,
        counted(len(chosen), "pairs compared") as step,
    ):
        for n, answer in zip(chosen, pool.map(agree, chosen.tolist()), strict=True):
            kept[n] = answer
            step(1)
    return kept


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
