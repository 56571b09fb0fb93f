"""Training labels that are likely wrong, by what a run's OOF predictions say of their rows."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise.competition.corrections import corrected_ids
from foldwise.competition.layout import CompetitionData
from foldwise.competition.targets import texts_of
from foldwise.config import Competition
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown, write_bytes, write_text
from foldwise.images.thumbs import thumb
from foldwise.provenance import prediction_columns, targets_of
from foldwise.runs import Run
from foldwise.tiles import Strip, Tile, picture

SHEET = 64  # images on the sheet
SIDE = 168  # pixels of an image there
LISTED = 10  # rows that are printed


@dataclass(frozen=True)
class Doubt:
    """row: int (d,), most doubtful first; label: int (d,), the class that the run would say.

    given and said: float64 (d,), the probabilities of the given label and of that one. Multilabel
    rows come once for each class in doubt: ``label`` is the class, ``given`` the probability of
    what is given for it. wrong: how many labels are estimated to be wrong.
    """

    row: np.ndarray
    label: np.ndarray
    given: np.ndarray
    said: np.ndarray
    wrong: int


def confident_learning(targets: np.ndarray, p: np.ndarray) -> Doubt:
    """Rows whose label another class contradicts (Northcutt, Jiang and Chuang, 2021).

    targets: classes int64 (n,); p: their OOF probabilities (n, c). A class is confident in a row
    where its probability is at least its mean over the rows that have its label. Counting the most
    probable confident classes of each label's rows gives the share of them that should have another
    one; of each such pair as many rows are in doubt ("prune by noise rate"): those in which the
    other class is the most probable, by the largest margins. The largest of all come first.
    """
    rows, said = np.arange(len(targets)), p.argmax(axis=1)
    own = p[rows, targets].astype(np.float64)
    margin = p[rows, said] - own
    wrong = _wrong(targets, own, p)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-margin, kind="stable")
    pair = targets * p.shape[1] + said
    taken = np.zeros(len(targets), bool)
    for one in np.flatnonzero(wrong):
        taken[order[pair[order] == one][: wrong.ravel()[one]]] = True
    found = order[taken[order]]
    there = p[found, said[found]].astype(np.float64)
    return Doubt(found, said[found], own[found], there, int(wrong.sum()))


def _wrong(targets: np.ndarray, own: np.ndarray, p: np.ndarray) -> np.ndarray:
    """How many rows of each label (c, c) are estimated to have each class in truth."""
    classes = p.shape[1]
    counts = np.bincount(targets, minlength=classes)
    means = np.bincount(targets, own, classes) / np.maximum(counts, 1)
    confident = np.where(p >= np.where(counts > 0, means, np.inf), p, -1)
    sure = confident.max(axis=1) >= 0
    pairs = targets[sure] * classes + confident[sure].argmax(axis=1)
    joint = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    share = joint / np.maximum(joint.sum(axis=1, keepdims=True), 1)
    return np.rint(share * counts[:, None]).astype(int)


def of_flags(targets: np.ndarray, p: np.ndarray) -> Doubt:
    """The same for each class of multilabel rows by itself; targets 0 and 1 (n, c)."""
    found, wrong = [], 0
    for c in range(p.shape[1]):
        flags = targets[:, c].astype(np.int64)
        doubt = confident_learning(flags, np.stack([1 - p[:, c], p[:, c]], axis=1))
        found.append((doubt.row, np.full(len(doubt.row), c), doubt.given, doubt.said))
        wrong += doubt.wrong
    row, label, given, said = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(given - said, kind="stable")
    return Doubt(row[order], label[order], given[order], said[order], wrong)


def doubt_labels(
    run: Run, data: CompetitionData, folder: Path, overwrite: bool = False
) -> pd.DataFrame:
    """Write doubtful.csv and doubtful.png into ``folder``, and print the worst rows.

    The table is what corrections.csv wants (id, label, reason) with more columns behind: a person
    deletes the rows that are right after all, and renames it. Rows that corrections.csv has already
    are left out. Raises FoldwiseError for a regression, where the run's rows or labels are not
    those of the train table, and, unless ``overwrite``, where another doubtful.csv is there.
    """
    settings = run.config().competition
    if settings.task == "regression":
        raise FoldwiseError(
            f"{run.name} is a regression: there are no classes that could contradict a label"
        )
    oof = run.oof_table()[0]
    targets = targets_of(settings, oof)
    _refuse_other_rows(run, oof["id"], targets, data)
    p = oof[prediction_columns(settings)].to_numpy()
    doubt = of_flags(targets, p) if targets.ndim == 2 else confident_learning(targets, p)
    table = _table(settings, oof, targets, doubt)
    corrected = table["id"].isin(corrected_ids(data))
    table = table[~corrected].reset_index(drop=True)
    path = folder / "doubtful.csv"
    text = io.StringIO()
    table.to_csv(text, index=False, lineterminator="\n")
    if not overwrite and path.is_file() and path.read_text("utf-8") != text.getvalue():
        raise FoldwiseError(
            f"{shown(path)} is there, and somebody may have gone through it: rename it to "
            "corrections.csv, delete it, or say overwrite=true"
        )
    write_text(path, text.getvalue())
    share = doubt.wrong / max(1, targets.size)
    more = f"; {corrected.sum():,} more are in corrections.csv already" if corrected.any() else ""
    print(
        f"about {doubt.wrong:,} of {targets.size:,} labels are wrong, it seems ({share:.1%}); "
        f"in doubt are {len(table):,} rows, of which the run says otherwise{more}"
    )
    if len(oof) < len(data.train):
        print(
            f"{len(data.train) - len(oof):,} rows are not looked at: "
            f"{run.name} has only folds {first_few(run.finished())}"
        )
    if not len(table):
        (folder / "doubtful.png").unlink(missing_ok=True)
        return table
    files = dict(zip(data.train["id"], data.train["file"], strict=True))
    write_bytes(folder / "doubtful.png", _sheet(run, table, files))
    print(
        "\n".join(
            f"  {row.id}: {row.given} → {row.label} ({row.reason})"
            for row in table[:LISTED].itertuples()
        )
    )
    print(
        f"all of them: {shown(path)}, the first {min(SHEET, len(table))}: "
        f"{shown(folder / 'doubtful.png')}; delete the rows that are right after all and "
        f"{'add the others to' if corrected_ids(data) else 'rename it to'} corrections.csv"
    )
    return table


def _refuse_other_rows(
    run: Run, ids: pd.Series, targets: np.ndarray, data: CompetitionData
) -> None:
    places = pd.Index(data.train["id"]).get_indexer(ids)
    strange = ids[places < 0].tolist()
    if strange:
        raise FoldwiseError(
            f"{run.name} has {len(strange)} rows that are not in the train table "
            f"({first_few(strange)}): name a run of this competition as it is now"
        )
    now = data.targets.values[places]
    other = now.shape != targets.shape or (now != targets).reshape(len(ids), -1).any(axis=1)
    if np.any(other):
        names = ids[other].tolist() if np.ndim(other) else ids.tolist()
        raise FoldwiseError(
            f"{run.name} was trained with other labels than the train table has now "
            f"(ids {first_few(names)}): train it again, or name another run"
        )


def _table(
    settings: Competition, oof: pd.DataFrame, targets: np.ndarray, doubt: Doubt
) -> pd.DataFrame:
    """id, label, reason, given: of a multilabel row once, with all of its doubtful classes."""
    classes, ids = settings.classes, oof["id"].to_numpy(object)
    if targets.ndim == 1:
        label = [classes[c] for c in doubt.label]
        given_label = [classes[targets[row]] for row in doubt.row]
        reason = [
            f"OOF {name} {said:.2f}, {was} {given:.2f}"
            for name, was, said, given in zip(
                label, given_label, doubt.said, doubt.given, strict=True
            )
        ]
        cells = {"id": ids[doubt.row], "label": label, "reason": reason, "given": given_label}
        return pd.DataFrame(cells)
    separator = settings.separator or "|"
    rows = list(dict.fromkeys(doubt.row.tolist()))
    flags = targets[rows].copy()
    place, said = {row: n for n, row in enumerate(rows)}, [list[str]() for _ in rows]
    for row, c, value in zip(doubt.row.tolist(), doubt.label.tolist(), doubt.said, strict=True):
        flags[place[row], c] = 1 - flags[place[row], c]
        word = "" if flags[place[row], c] else "no "
        said[place[row]].append(f"{value:.2f} {word}{classes[c]}")
    cells = {
        "id": ids[rows],
        "label": [text.replace("|", separator) for text in texts_of(flags, classes)],
        "reason": [f"OOF {', '.join(words)}" for words in said],
        "given": [text.replace("|", separator) for text in texts_of(targets[rows], classes)],
    }
    return pd.DataFrame(cells)


def _sheet(run: Run, table: pd.DataFrame, files: dict[str, str]) -> bytes:
    """The first images of the table, with what is given and what is said."""
    tiles = []
    for row in table[:SHEET].itertuples():
        image = thumb(files[row.id], SIDE)
        image = np.full((SIDE, SIDE, 3), 128, np.uint8) if image is None else image
        tiles.append(Tile(image, f"{row.given} → {row.label}", f"{row.id}: {row.reason}"))
    height, width = (max(tile.image.shape[axis] for tile in tiles) for axis in (0, 1))
    framed = [Tile(_centred(t.image, height, width), t.caption, t.detail) for t in tiles]
    note = f"given → what the OOF predictions of {run.name} say; the most doubtful first"
    return picture("labels in doubt", note, [Strip(framed)])


def _centred(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """On white, at a common size."""
    page = np.full((height, width, 3), 255, np.uint8)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    page[top : top + image.shape[0], left : left + image.shape[1]] = image
    return page
