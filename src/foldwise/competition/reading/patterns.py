"""Labels in the names of image files: cat.12.jpg, 12_cat.jpg, 3_0012.png."""

import re
from collections import Counter

from foldwise.competition.reading.imagefiles import EXTENSION, ImageFiles
from foldwise.competition.reading.rows import Rows, folder_rows, labelled, refuse_columns
from foldwise.competition.targets import Targets
from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError, first_few

PATTERNS = {
    r"^(?P<label>.*?[^\W\d_].*?)[\W_]*\d+$": "a word before a number",
    r"^\d+[\W_]+(?P<label>.*[^\W\d_].*)$": "a word behind a number",
    r"^(?P<label>\d+)[\W_]+\d+$": "the first of two numbers",
    r"^\d+[\W_]+(?P<label>\d+)$": "the last of two numbers",
}


def pattern_rows(files: ImageFiles, config: Config) -> tuple[Rows, Targets] | None:
    """Images whose file names hold their labels, by competition.pattern or one of PATTERNS.

    None where no pattern fits all of them. Raises FoldwiseError where two do, and UsageError for a
    pattern of the user's that cannot be used.
    """
    rows, given = folder_rows(files), config.competition.pattern
    names = [EXTENSION.sub("", name) for name in rows.frame["id"]]
    if given:
        found = {given: _labels_by(given, names, files)}
    elif any("/" in name for name in names):
        return None
    else:
        read = {pattern: _found_labels(pattern, names) for pattern in PATTERNS}
        found = {pattern: labels for pattern, labels in read.items() if labels}
    if not found:
        return None
    if len(found) > 1:
        said = [f"{PATTERNS[p]} (competition.pattern='{p}')" for p in found]
        raise FoldwiseError(
            f"the file names in {files.place()}, such as {rows.frame['id'][0]}, can be read in two "
            f"ways: the label is {said[0]}, or {said[1]}: say which"
        )
    refuse_columns(files, config)
    pattern, labels = next(iter(found.items()))
    how = f"labels in the file names ({PATTERNS.get(pattern, pattern)})"
    return labelled(rows, labels, how, config.competition, files)


def _found_labels(pattern: str, names: list[str]) -> list[str]:
    """The labels that a pattern reads out of all names; [] where they do not look like classes."""
    matches = [re.search(pattern, name) for name in names]
    labels = [match["label"] for match in matches if match]
    if len(labels) < len(names) or not 2 <= len(set(labels)) <= len(labels) // 2:
        return []
    return labels if min(Counter(labels).values()) > 1 else []


def _labels_by(pattern: str, names: list[str], files: ImageFiles) -> list[str]:
    try:
        matches = [re.search(pattern, name) for name in names]
        labels = [match["label"] if match else None for match in matches]
    except (re.error, IndexError) as error:
        raise UsageError(
            f"competition.pattern={pattern} is no regular expression with a group named label "
            f"({error}): an example is '(?P<label>[a-z]+)_\\d+'"
        ) from error
    without = [name for name, label in zip(names, labels, strict=True) if not label]
    if without:
        raise FoldwiseError(
            f"competition.pattern={pattern} finds no label in {len(without)} file names of "
            f"{files.place()}: {first_few(without)}: mend the pattern, or move these files away"
        )
    return [label for label in labels if label]
