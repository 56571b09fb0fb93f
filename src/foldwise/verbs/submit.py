"""`submit`: a submission sent once, its score waited for and written down."""

from pathlib import Path

from foldwise.competition.reading.listed import place_of
from foldwise.errors import FoldwiseError, UsageError
from foldwise.kaggle.submit import Wishes, submit
from foldwise.runs import Run
from foldwise.verbs.submission import views_said
from foldwise.verbs.table import own_keys
from foldwise.verbs.words import flag, number


def run(words: list[str]) -> int:
    given = own_keys("submit", words, required=("run",))
    one = Run(given["run"])
    wishes = Wishes(
        given.get("message", ""), given.get("competition", ""), flag(given, "offline"),
        flag(given, "again"), flag(given, "anyway"), number(given, "wait", 60),
        views_said(one, given.get("tta", "")), file_said(given),
    )  # fmt: skip
    print(submit(one, wishes))
    return 0


def file_said(given: dict[str, str]) -> Path | None:
    """file=, or None. Raises UsageError beside tta=, FoldwiseError where it is no file."""
    if "file" not in given:
        return None
    if "tta" in given:
        raise UsageError("file= is sent as it is: leave tta= out")
    path = place_of(given["file"])
    if not path.is_file():
        raise FoldwiseError(f"file={given['file']} is not there: name a submission")
    return path
