"""`submit`: a submission sent once, its score waited for and written down."""

from foldwise.kaggle.submit import Wishes, submit
from foldwise.runs import Run
from foldwise.verbs.table import own_keys
from foldwise.verbs.words import flag, number


def run(words: list[str]) -> int:
    given = own_keys("submit", words, required=("run",))
    wishes = Wishes(
        given.get("message", ""), given.get("competition", ""), flag(given, "offline"),
        flag(given, "again"), flag(given, "anyway"), number(given, "wait", 60),
    )  # fmt: skip
    print(submit(Run(given["run"]), wishes))
    return 0
