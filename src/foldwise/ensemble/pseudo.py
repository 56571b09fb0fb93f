"""Which unlabelled images are learned from, and as what: chosen from predictions of a pool."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from foldwise.config import Competition, Pseudo
from foldwise.errors import FoldwiseError, UsageError

Array = np.ndarray
# Settings that mean nothing to a task.
NOT_FOR = {
    "regression": ("threshold", "share", "agree", "balance"),
    "multilabel": ("balance",),
}


@dataclass(frozen=True)
class Chosen:
    """rows: int64 (m,), of the pool, sorted by their ids; targets: int64 (m,), flags uint8 or
    what is soft or a number, float32 (m, c). counts: of the pool, of what passed each test, taken.
    classes: images taken of each class.
    """

    rows: Array
    targets: Array
    counts: dict[str, int]
    classes: dict[str, int]


def check_pseudo(wanted: Pseudo, settings: Competition) -> None:
    """Raises UsageError for settings that have no meaning in the task."""
    default = Pseudo()
    for item in fields(Pseudo):
        strange = item.name in NOT_FOR.get(settings.task, ())
        value = getattr(wanted, item.name)
        if strange and value not in (0, getattr(default, item.name)):
            raise UsageError(
                f"pseudo.{item.name}={value} has no meaning in {settings.task}: leave it out"
            )


def choose(
    p: Array,
    ids: Sequence[str],
    settings: Competition,
    wanted: Pseudo,
    labelled: Array,
    voices: Sequence[Array] = (),
    allowed: Array | None = None,
) -> Chosen:
    """The images of a pool with predictions ``p``, float32 (n, c), that are learned from.

    An image's confidence is the probability of its likeliest class, in multilabel that of its
    least certain flag; of a regression all images are taken. It must be among the surest
    ``share`` of those of its class, reach the ``threshold``, be said the same by ``agree`` of the
    ``voices`` (each (n, c)), and be ``allowed`` (bool (n,)). Then no class keeps more than
    ``balance`` times its share of the ``labelled`` rows (int (c,), of each class), its surest.
    Nothing depends on the order of the pool: among equals the ids decide. Raises FoldwiseError
    where nothing is left.
    """
    n = len(ids)
    by_id = np.argsort(np.array(ids, dtype=str), kind="stable")
    kept = np.ones(n, bool) if allowed is None else allowed.copy()
    counts = {"pool": n}
    if allowed is not None:
        counts["no duplicate"] = int(kept.sum())
    if settings.task == "regression":
        rows = by_id[kept[by_id]]
        return Chosen(rows, p[rows], counts | {"taken": len(rows)}, {})
    said = _said(p, settings)
    sure = confidence(p, settings)
    order = by_id[np.argsort(-sure[by_id], kind="stable")]
    if wanted.share < 1:
        kept &= _surest(order, _kinds(said), wanted.share)
        counts[f"surest {wanted.share:.0%}"] = int(kept.sum())
    kept &= sure >= wanted.threshold
    counts[f"from {wanted.threshold:g}"] = int(kept.sum())
    if wanted.agree:
        same = [_kinds(_said(voice, settings) == said, all_of=True) for voice in voices]
        kept &= np.mean(same, axis=0) >= wanted.agree
        counts["agreed"] = int(kept.sum())
    if wanted.balance and said.ndim == 1 and kept.any():
        kept &= _balanced(order, said, kept, wanted.balance, labelled)
        counts["balanced"] = int(kept.sum())
    rows = by_id[kept[by_id]]
    if not len(rows):
        raise FoldwiseError(_none_left(counts, wanted, sure if allowed is None else sure[allowed]))
    targets = p[rows] if wanted.labels == "soft" else said[rows]
    taken = said[rows] if said.ndim == 2 else np.eye(p.shape[1], dtype=np.int64)[said[rows]]
    classes = dict(zip(settings.classes, taken.sum(axis=0, dtype=np.int64).tolist(), strict=True))
    return Chosen(rows, targets, counts | {"taken": len(rows)}, classes)


def _none_left(counts: dict[str, int], wanted: Pseudo, sure: Array) -> str:
    """What the first test that no image passed was, and what to do; ``sure``: of those allowed."""
    steps = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    last = next((name for name, count in counts.items() if not count), "")
    if last == "pool":
        return "the pool has no image that can be decoded: name another pseudo.pool"
    if last == "no duplicate":
        why = "each of them nearly duplicates a training image: take another pseudo.pool"
    elif last == "agreed":
        why = f"no image is called the same by so many: lower pseudo.agree={wanted.agree:g}"
    else:
        why = f"the surest has {sure.max(initial=0):.4f}: lower pseudo.threshold="
        why += f"{wanted.threshold:g}"
    return f"no unlabelled image can be learned from ({steps}); {why}"


def confidence(p: Array, settings: Competition) -> Array:
    """float32 (n,): of the likeliest class; in multilabel of the least certain flag."""
    if settings.task == "multilabel":
        return np.asarray(np.maximum(p, 1 - p).min(axis=1))
    return np.asarray(p.max(axis=1))


def _said(p: Array, settings: Competition) -> Array:
    """The likeliest class int64 (n,), or flags uint8 (n, c)."""
    if settings.task == "multilabel":
        return (p >= 0.5).astype(np.uint8)
    return p.argmax(axis=1)


def _kinds(said: Array, all_of: bool = False) -> Array:
    """(n,): one word a row. Flags are all of one kind, or (``all_of``) true where all are."""
    if said.ndim == 1:
        return said
    return np.asarray(said.all(axis=1)) if all_of else np.zeros(len(said), np.int64)


def _surest(order: Array, kinds: Array, share: float) -> Array:
    """bool (n,): the first ``share`` of each kind in ``order``, rounded up."""
    kept = np.zeros(len(order), bool)
    for kind in np.unique(kinds):
        mine = order[kinds[order] == kind]
        kept[mine[: int(np.ceil(share * len(mine)))]] = True
    return kept


def _balanced(order: Array, said: Array, kept: Array, most: float, labelled: Array) -> Array:
    """bool (n,): of each class the first in ``order`` that are ``kept``, up to its limit."""
    total, limited = int(kept.sum()), kept.copy()
    limits = np.ceil(most * total * labelled / max(1, labelled.sum())).astype(np.int64)
    for kind, limit in enumerate(limits):
        mine = order[kept[order] & (said[order] == kind)]
        limited[mine[limit:]] = False
    return limited


def balance_of(classes: dict[str, int], labelled: Array) -> dict[str, Any]:
    """How much the classes' shares among the labels differ from those of labelled rows.

    most and least: {class, times}, its share here over its share there.
    """
    total = sum(classes.values())
    shares = labelled / max(1, labelled.sum())
    times = {
        name: (count / max(1, total)) / share
        for (name, count), share in zip(classes.items(), shares, strict=True)
        if share
    }
    if not times or not total:
        return {}
    most, least = max(times, key=lambda c: times[c]), min(times, key=lambda c: times[c])
    return {
        "most": {"class": most, "times": round(times[most], 4)},
        "least": {"class": least, "times": round(times[least], 4)},
    }
