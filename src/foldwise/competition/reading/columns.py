"""Which column of a table holds the ids, the labels, the image files or the groups."""

from collections.abc import Iterable

from foldwise.competition.reading.imagefiles import EXTENSION
from foldwise.competition.reading.tables import IMAGE, Table, plain
from foldwise.errors import FoldwiseError, first_few, nearest
from foldwise.files import shown

# The names that Kaggle's image competitions use, without case and separators. Names of images come
# before plain ids: in a table Image,Id (whales) the images are what the rows are about.
IMAGE_NAMES = [
    *("image", "imageid", "imagename", "imageids", "imgid", "imgids", "imgname", "img", "images"),
    *("filename", "filenames", "file", "fname", "filepath", "imagepath", "imgpath", "imagefile"),
    *("path", "picture", "photo", "photoid", "pictureid", "imageurl", "filenameid"),
]
ID_NAMES = [*IMAGE_NAMES, "id", "ids", "idcode", "uid", "uuid", "index", "key", "name", "sampleid"]
LABEL_NAMES = [
    *("label", "labels", "class", "classes", "classname", "classid", "classlabel", "target"),
    *("targets", "category", "categoryid", "categoryname", "breed", "species", "diagnosis"),
    *("level", "type", "variety", "disease", "y", "groundtruth", "truth", "answer", "genus"),
    *("family", "labelid", "labelname", "imagelabel", "hascactus", "isiceberg", "iscat"),
    *("invasive", "dx", "emotion", "expected", "landmarkid", "individualid", "whaleid", "tag"),
    *("findinglabels", "gender", "digit", "character", "letter", "cultivar", "flower", "animal"),
    "style",
]


def id_column(table: Table, setting: str, hints: Iterable[str] = ()) -> str:
    """The column with the image ids.

    By ``setting`` (``competition.columns.id``), otherwise by its name, where ``hints`` (columns
    of the sample, or else of the test table) decide between several; else the first of the hints,
    or the only column that is called an id or holds file names, where its cells are all different;
    a single column is it in any case. Raises FoldwiseError naming the columns there.
    """
    if setting:
        return named_column(table, setting, "competition.columns.id")
    found, hints = _by_name(table, ID_NAMES), list(hints)
    found = [name for name in found if name in set(hints)] or found
    if found:
        return found[0]
    columns = table.names
    if hints and hints[0] in columns and len(set(table.column(hints[0]))) == len(table.frame):
        return hints[0]  # as in every sample of Kaggle's, the first one
    if len(columns) > 2 or not _by_name(table, LABEL_NAMES):
        alone = [name for name in columns if _names_rows(table, name)]
        if len(alone) == 1:
            return alone[0]
    if len(columns) == 1:
        return columns[0]
    labels = _by_name(table, LABEL_NAMES)
    if len(columns) == 2 and len(labels) == 1:
        return next(name for name in columns if name != labels[0])
    raise FoldwiseError(
        f"{shown(table.path)}: which column has the image ids? "
        f"{_there(table)}: say competition.columns.id=NAME"
    )


def _names_rows(table: Table, column: str) -> bool:
    """Whether a column is called an id of something, or holds file names, each of them once."""
    cells = table.column(column)
    told = plain(column).endswith("id") or all(EXTENSION.search(cell) for cell in cells[:20])
    return told and len(cells) > 1 and len(set(cells)) == len(cells)


def other_id_column(table: Table, known: Iterable[str]) -> str:
    """The id column of a test table or sample: one of ``known`` if it is there, else by its name.

    Where no name tells, it is the first one, as in every sample of Kaggle's.
    """
    columns = table.names
    found = [name for name in known if name and name in columns] or _by_name(table, ID_NAMES)
    return (found or columns)[0]


def label_columns(
    table: Table, setting: str, ids: str, hints: Iterable[str], values: Iterable[str]
) -> list[str]:
    """The column with the labels, or the columns where each class or number has one of its own.

    By ``setting`` (one name, or several with commas between); else those that ``values``, the
    sample's columns, name two or more of, or one where no column has a label's name; else all
    others where they hold nothing but 0 and 1; else one (`label_column`, with ``hints``).
    """
    if setting and setting not in table.names and "," in setting:
        names = [name.strip() for name in setting.split(",")]
        return [named_column(table, name, "competition.columns.label") for name in names]
    named = [name for name in values if name != ids and name in table.names]
    if not setting and len(named) > 1:
        return named
    others = [name for name in table.names if name != ids]
    known = set(_by_name(table, LABEL_NAMES)) - {ids}
    flags = {"0", "1", "0.0", "1.0"}
    if not setting and not known and len(named) == 1:
        return named
    unsaid = not setting and not known and len(others) > 1 and len(table.frame)
    if unsaid and all(flags.issuperset(table.column(name)) for name in others):
        return others
    return [label_column(table, setting, ids, hints)]


def label_column(table: Table, setting: str, ids: str, hints: Iterable[str] = ()) -> str:
    """The column with the labels: by ``setting``, by its name, or the only one beside the ids.

    Raises FoldwiseError naming the columns there, also when two of them could be it.
    """
    if setting:
        return named_column(table, setting, "competition.columns.label")
    others = [name for name in table.names if name != ids]
    found = [name for name in _by_name(table, LABEL_NAMES) if name != ids]
    found = [name for name in found if name in set(hints)] or found
    if len(found) > 1:
        raise FoldwiseError(
            f"{shown(table.path)}: the columns {first_few(found)} could each hold the labels: "
            f"say which with competition.columns.label={found[0]}"
        )
    if found or len(others) == 1:
        return (found or others)[0]
    raise FoldwiseError(
        f"{shown(table.path)} has no column that is known to hold labels; "
        f"{_there(table)}: say competition.columns.label=NAME"
    )


def named_column(table: Table, name: str, key: str) -> str:
    """``name``, if the table has it. Raises FoldwiseError naming the columns there."""
    columns = table.names
    if name in columns:
        return name
    raise FoldwiseError(
        f"{key}={name}: {shown(table.path)} has no such column; "
        f"{_there(table)}{nearest(name, columns)}"
    )


def image_columns(table: Table, but: Iterable[str]) -> list[str]:
    """Columns that may name the image files where the ids do not."""
    return [name for name in _by_name(table, IMAGE_NAMES) if name not in set(but)]


def unnamed_ids(table: Table, setting: str) -> bool:
    """Whether a table that holds its images has no column of ids: they are row numbers then."""
    if setting or IMAGE not in table.frame:
        return False
    return not any(len(set(table.column(n))) == len(table.frame) for n in _by_name(table, ID_NAMES))


def _by_name(table: Table, names: list[str]) -> list[str]:
    found = [name for name in table.names if plain(name) in names and len(name.strip("[]() ")) > 1]
    found += [name for name in table.names if name.strip().casefold() == "y" and "y" in names]
    return sorted(found, key=lambda name: names.index(plain(name)))


def _there(table: Table) -> str:
    if not table.names:
        return "there are no columns but pixels"
    return f"the columns there are {first_few(table.names, 20)}"
