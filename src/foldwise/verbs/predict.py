"""`./run.sh predict input=…`: one image, a folder or a list, predicted by any run."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldwise.bar import counted
from foldwise.competition.reading.listed import LISTS, Listed, listed, place_of
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown
from foldwise.prediction.output import format_of, ranked, short, table_of, writer
from foldwise.predictor import Predictor, predictor_of
from foldwise.provenance import prediction_columns
from foldwise.runs import Run
from foldwise.verbs.table import own_keys
from foldwise.verbs.words import epoch_of, flag, number

SAID = 20  # broken images that are listed on the screen


def run(words: list[str]) -> int:
    given = own_keys("predict", words, required=("run",))
    one = Run(given["run"])
    one.config()  # says first where there is no such run
    if "input" in given:
        if "views" in given:
            raise UsageError("views= is for the run's own rows: leave it out beside input=")
        top, members = int(number(given, "top", 5)), flag(given, "members")
        out, fold, tta = (given.get(key, "") for key in ("out", "fold", "tta"))
        epoch = epoch_of(given)
        predict_input(given["run"], given["input"], out, fold, tta, max(1, top), members, epoch)
        return 0
    for key in ("out", "top", "members", "epoch"):
        if key in given:
            raise UsageError(f"{key}= wants input=: an image, a folder or a list of images")
    if not given.get("tta"):
        again = "" if one.is_blend() else ", or tta=: views for its OOF and test again"
        raise UsageError(
            f"predict run={one.name} needs input=: an image, a folder or a list of images{again} "
            "(./run.sh help predict)"
        )
    single = flag(given, "views")
    from foldwise.prediction.again import predict_again

    predict_again(given["run"], given.get("fold", ""), given["tta"], single)
    return 0


def predict_input(
    name: str, place: str, out: str, folds: str, views: str, top: int, members: bool, epoch: int
) -> None:
    """Print what one image is, or write what all images of a folder or list are.

    ``out``: a .csv, .json or .parquet, or ``-`` for JSON on the screen; ``members``: each fold's
    (of a blend each member's) prediction, too; ``epoch``: as of `predictor_of`. Raises
    FoldwiseError and UsageError.
    """
    source = place_of(place)
    single = source.is_file() and source.suffix.lower() not in LISTS
    target = Path(out).expanduser()
    if out not in ("", "-"):
        format_of(target)
    if not out and not single and source.exists():
        raise UsageError(
            f"input={place} is no image: say out=FILE.csv (or .json, .parquet) for its predictions"
        )
    if out and target.exists() and source.exists() and target.samefile(source):
        raise UsageError(f"out={out} is the list itself: give the predictions another name")
    predictor = predictor_of(name, folds, views, epoch)
    wanted = predictor.config.competition.columns
    found = listed(source, [wanted.path, wanted.id])
    if single:
        _one(predictor, found, target if out else None, top, members)
    else:
        _many(predictor, found, target, top, members)


def _one(predictor: Predictor, found: Listed, target: Path | None, top: int, members: bool) -> None:
    (part,) = predictor(found.files)
    if part.broken:
        raise FoldwiseError(f"{found.files[0]} {part.broken[0]}: name another image")
    settings = predictor.config.competition
    each = part.members if members else {}
    table = table_of(settings, found.ids, part.values, each, part.broken)
    if target is None or str(target) != "-":
        print(_text(predictor, table.to_dict("records")[0], top, list(each)))
    if target is not None:
        with writer(target, settings, top, list(each), single=True) as write:
            write(table)


def _text(predictor: Predictor, row: Mapping[str, Any], top: int, members: list[str]) -> str:
    """The likeliest classes, a line each, with a column for each member where they are asked."""
    settings = predictor.config.competition
    if settings.task == "regression":
        head, names = row["id"], settings.classes
    else:
        head = f"{row['id']}: {row['predicted'] or '(none)'}"
        names = [name for name, _ in ranked(settings, row, top)]
    columns = dict(zip(settings.classes, prediction_columns(settings), strict=True))
    rows = [["", *([predictor.run.name, *members] if members else [])]] if members else []
    for name in names:
        prefixes = ["", *(f"{member}:" for member in members)]
        numbers = [short(row[prefix + columns[name]]) for prefix in prefixes]
        rows.append([name, *(f"{number:.4f}" for number in numbers)])
    widths = [max(len(cells[n]) for cells in rows) for n in range(len(rows[0]))]
    lines = [
        "  ".join([cells[0].ljust(widths[0]), *map(str.rjust, cells[1:], widths[1:])])
        for cells in rows
    ]
    return "\n".join([head, *(f"  {line}".rstrip() for line in lines)])


def _many(predictor: Predictor, found: Listed, target: Path, top: int, members: bool) -> None:
    settings, broken = predictor.config.competition, dict[str, str]()
    names = predictor.members if members else []
    with (
        writer(target, settings, top, names) as write,
        counted(len(found.files), f"images predicted by {predictor.run.name}") as advance,
    ):
        for part in predictor(found.files):
            ids = found.ids[part.start : part.start + len(part.values)]
            each = part.members if members else {}
            write(table_of(settings, ids, part.values, each, part.broken))
            broken |= {ids[n]: reason for n, reason in part.broken.items()}
            advance(len(ids))
    say_broken(broken)
    if str(target) != "-":
        print(f"{len(found.files):,} images in {shown(target)}")


def say_broken(broken: Mapping[str, str]) -> None:
    """The images that got the class prior, at the end."""
    if broken:
        listing = first_few((f"{name} {reason}" for name, reason in broken.items()), SAID)
        print(f"{len(broken):,} images got the class prior: {listing}", file=sys.stderr)
