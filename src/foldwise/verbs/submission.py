"""`submission`: a run's test predictions in the shape of the sample, looked through."""

from foldwise.competition import layout
from foldwise.competition.submission import write_submission
from foldwise.errors import FoldwiseError
from foldwise.files import shown
from foldwise.kaggle.submit import check, say_unfinished
from foldwise.prediction.views import canonical, file_name
from foldwise.runs import Run
from foldwise.verbs.table import own_keys
from foldwise.whole import oof_table, test_table


def run(words: list[str]) -> int:
    given = own_keys("submission", words, required=("run",))
    one = Run(given["run"])
    config = one.config()
    config.run = one.name  # the folder's, should a person have renamed it
    views = views_said(one, given.get("tta", ""))
    table, _ = test_table(one, views)
    data = layout.load(config)
    path = write_submission(config, data, table, views)
    print(shown(path))
    say_unfinished(one, config, oof_table(one, views)[0])
    check(config, data, path)
    return 0


def views_said(run: Run, tta: str) -> str:
    """The views of tta= as names of tables have them; '' for the run's own, or none said.

    Raises UsageError for what is none, and FoldwiseError where a run has the submission's name.
    """
    config = run.config()
    size, own = config.images.size or 32, config.tta.views
    other = bool(tta) and canonical(tta, size) != canonical(own, size)
    views = file_name(canonical(tta, size)) if other else ""
    if views and Run(f"{run.name}.{views}").config_file.is_file():
        raise FoldwiseError(
            f"submissions/{run.name}.{views}.csv is that of the run {run.name}.{views}: rename "
            f"this run (./run.sh runs rename run={run.name}.{views} to=NAME)"
        )
    return views
