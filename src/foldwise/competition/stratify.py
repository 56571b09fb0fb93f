"""Iterative stratification: folds with the same share of every label, where rows have several."""

import numpy as np


def iterative_folds(counts: np.ndarray, sizes: np.ndarray, k: int, seed: int) -> np.ndarray:
    """The fold, int64 (n,), of each unit (a row, or a group of rows that stay together).

    counts: (n, c), how often each label occurs in a unit; sizes: (n,), its rows. The label with the
    fewest units left is dealt out first, each unit to the fold that still wants most of that label,
    then to the one that wants most rows, then by chance (Sechidis, Tsoumakas and Vlahavas, "On the
    Stratification of Multi-Label Data", 2011). Large units go first, since they are hard to place.
    """
    random = np.random.RandomState(seed)  # NumPy's legacy numbers are the same in every version
    order = random.permutation(len(counts))
    order = order[np.argsort(-sizes[order], kind="stable")]
    wanted = np.tile(counts.sum(axis=0) / k, (k, 1)).astype(np.float64)
    room = np.full(k, sizes.sum() / k)
    fold = np.full(len(counts), -1, dtype=np.int64)
    left = (counts > 0).sum(axis=0)

    def place(unit: int, wishes: np.ndarray) -> None:
        best = np.flatnonzero(wishes == wishes.max())
        best = best[room[best] == room[best].max()]
        chosen = int(best[0] if len(best) == 1 else random.choice(best))
        fold[unit] = chosen
        wanted[chosen] -= counts[unit]
        room[chosen] -= sizes[unit]
        np.subtract(left, counts[unit] > 0, out=left)

    while left.any():
        label = int(np.where(left > 0, left, left.max() + 1).argmin())
        for unit in order[(fold[order] < 0) & (counts[order, label] > 0)]:
            place(int(unit), wanted[:, label])
    for unit in order[fold[order] < 0]:  # without any label
        place(int(unit), room)
    return fold
