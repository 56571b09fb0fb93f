"""`submission`: a run's test predictions in the shape of the sample, looked through."""

from foldwise.competition import layout
from foldwise.competition.submission import write_submission
from foldwise.files import shown
from foldwise.kaggle.submit import check
from foldwise.runs import Run
from foldwise.verbs.table import own_keys


def run(words: list[str]) -> int:
    given = own_keys("submission", words, required=("run",))
    one = Run(given["run"])
    config = one.config()
    config.run = one.name  # the folder's, should a person have renamed it
    table, _ = one.test_table()
    data = layout.load(config)
    path = write_submission(config, data, table)
    print(shown(path))
    check(config, data, path)
    return 0
