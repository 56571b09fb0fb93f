"""`submit`: a submission sent once, its score waited for and written down."""

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
        views_said(one, given.get("tta", "")),
    )  # fmt: skip
    print(submit(one, wishes))
    return 0
