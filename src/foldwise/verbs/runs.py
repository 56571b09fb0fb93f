"""`runs`: the table of runs, and keeping oof/ in order."""

import math
from collections.abc import Sequence
from pathlib import Path

from foldwise import runview
from foldwise.ensemble.pair import compared_pair
from foldwise.errors import UsageError, nearest
from foldwise.files import shown
from foldwise.report.facts import all_facts, of_competition, table
from foldwise.runs import Run, every_run
from foldwise.tidy import (
    agreed,
    delete,
    leftovers,
    megabytes,
    named,
    refuse_training,
    rename,
    several,
    table_of,
    users,
)
from foldwise.verbs.table import own_keys
from foldwise.verbs.words import flag

ACTIONS = {  # the keys that each needs, and those that it may have
    "list": ((), ("competition",)),
    "compare": (("run", "with"), ()),
    "rename": (("run", "to"), ()),
    "remove": (("run",), ("competition", "yes")),
    "clean": ((), ("competition", "days", "yes")),
}


def run(words: list[str]) -> int:
    action = words.pop(0) if words and "=" not in words[0] else "list"
    if action not in ACTIONS:
        raise UsageError(
            f"runs {action}: say runs, runs compare, runs rename, runs remove or runs clean"
            f"{nearest(action, ACTIONS)}"
        )
    needed, others = ACTIONS[action]
    given = own_keys("runs", words, required=needed)
    for key in given:
        if key not in (*needed, *others):
            verb = "runs" if action == "list" else f"runs {action}"
            takes = ", ".join(f"{one}=" for one in (*needed, *others))
            raise UsageError(f"{key}= has no meaning in {verb}, which takes {takes}: leave it out")
    yes, competition = flag(given, "yes"), given.get("competition", "")
    if action == "list":
        list_runs(competition)
    elif action == "compare":
        compare_runs(given["run"], given["with"])
    elif action == "rename":
        rename_run(given["run"], given["to"])
    elif action == "remove":
        remove_runs(given["run"], competition, yes)
    else:
        clean_runs(given.get("days", ""), competition, yes)
    return 0


def list_runs(competition: str) -> None:
    """The table of runs in the terminal."""
    found, unreadable = all_facts(every_run())
    chosen = of_competition(found, competition)
    print("\n".join([*table(chosen), *unreadable]))
    size = sum(facts.size for facts in chosen)
    print(f"\n{several(len(chosen), 'run')}, {megabytes(size)} in oof/")


def rename_run(run: str, to: str) -> None:
    print("\n".join(rename(Run(run), to)))


def remove_runs(names: str, competition: str, yes: bool) -> None:
    """Delete runs, after asking. Submissions stay."""
    runs = named(names, competition)
    for run in runs:
        refuse_training(run)
    size = sum(runview.size(run) for run in runs)
    for run in runs:
        print(
            f"{megabytes(runview.size(run))}  {shown(run.folder)}: folds {run.finished() or 'none'}"
        )
    print("".join(f"{line}, and could not be made again\n" for line in users(runs)), end="")
    _delete(several(len(runs), "run"), [run.folder for run in runs], size, yes)


def compare_runs(run: str, other: str) -> None:
    """Whether the first run is really better than the second."""
    pair = compared_pair(Run(run), Run(other))
    scores = ["-" if value is None else f"{value:.4f}" for value in pair.scores]
    low, high = pair.interval or (math.nan, math.nan)
    print(
        f"{pair.metric} of the {pair.rows:,} rows that both predicted: {run} {scores[0]}, "
        f"{other} {scores[1]}\n{run} gains {pair.gain:+.4f} ({low:+.4f} to {high:+.4f}), and is "
        f"really better with probability {pair.better:.1%}"
    )
    if pair.apart:
        print("they were trained on different splits: compare with care")


def clean_runs(days: str, competition: str, yes: bool) -> None:
    """Delete what nobody needs any more, after asking."""
    try:
        age = float(days or 7)
    except ValueError:
        age = -1
    if not 0 <= age < math.inf:
        raise UsageError(f"days={days} is no number of days: say how old, as in days=7")
    found = leftovers(age, competition)
    if not found:
        print("nothing to clean")
        return
    print("\n".join(table_of(found)))
    size = sum(one.size for one in found)
    _delete(f"these {len(found)}", [one.path for one in found], size, yes)


def _delete(what: str, paths: Sequence[Path], size: int, yes: bool) -> None:
    if not agreed(f"delete {what}, {megabytes(size)}?", yes):
        print("nothing is deleted")
        return
    for path in paths:
        delete(path)
    print(f"{len(paths)} deleted, {megabytes(size)} freed")
