"""`pseudo`: rounds of pseudo-labels, each a run that learns what the run before says."""

import json
import math
import sys
from collections.abc import Sequence
from typing import Any

from foldwise import compose
from foldwise.config import Config
from foldwise.ensemble import rounds as worth
from foldwise.ensemble.mixture import warn_changed
from foldwise.errors import FoldwiseError, UsageError
from foldwise.labelling import train_round
from foldwise.runs import Run
from foldwise.verbs.table import VERBS, own_keys, refuse_unknown
from foldwise.verbs.words import choice, laid_out

LOWER = 0.3  # of the learning rate, where a round starts from the last one's weights
OF_VERB = ("run", "rounds", "start", "stop", "name")  # its keys that are no settings of pseudo.…


def run(words: list[str]) -> int:
    refuse_unknown("pseudo", words, VERBS["pseudo"].keys)
    own = [word for word in words if word.partition("=")[0] in VERBS["pseudo"].keys]
    given = own_keys("pseudo", own, required=("run",))
    count = given.get("rounds", "1")
    if not count.isdecimal() or not 1 <= int(count) <= 100:
        raise UsageError(f"rounds={count} is not a number from 1 to 100")
    given["start"] = choice(given, "start", ("scratch", "last"))
    given["stop"] = choice(given, "stop", ("rounds", "best"))
    rounds(given, laid_out([word for word in words if word not in own]))
    return 0


def rounds(given: dict[str, str], words: list[str]) -> None:
    """`./run.sh pseudo`: rounds NAME-p1, NAME-p2 …, each by the run before; prints their table.

    ``given``: the verb's own keys; ``words``: the others, settings of the rounds. Finished rounds
    are skipped. Raises FoldwiseError and UsageError.
    """
    first = Run(given["run"])
    if not first.finished():
        first.config()
        raise FoldwiseError(f"{first.name} has no finished fold: train it first")
    warn_changed(first)
    name, last = given.get("name") or first.name, int(given.get("rounds", "1"))
    names, facts = [first.name], list[dict[str, Any]]()
    for number in range(1, last + 1):
        told = round_words(given, words, names[-1], f"{name}-p{number}")
        config = compose.compose(told)
        config.config = first.config().config or config.config
        print(f"round {number}: {config.run}, by {names[-1]}", file=sys.stderr)
        train_round(config, told)
        names.append(config.run)
        facts.append(worth.described(Run(config.run)))
        if given.get("stop") == "best" and worth.within_noise(facts[-1]):
            break
    print(worth.said(names, facts))
    if given.get("stop") == "best" and worth.within_noise(facts[-1]):
        print(f"{names[-1]} gains nothing beyond noise: the best is {names[-2]}")


def round_words(given: dict[str, str], words: Sequence[str], source: str, name: str) -> list[str]:
    """The words of a round's training: as ``source`` was trained, but for what is said."""
    run, said = Run(source), {word.partition("=")[0] for word in words}
    config = run.config()
    told = []
    if "config" not in said:
        recipe = _recipe_of(run)
        config = recipe.config()
        told.append(f"config={recipe.config_file}")
    else:
        told += _of_competition(config)
    finished = ",".join(map(str, run.finished()))
    told += [f"fold={finished}", f"run={name}", f"pseudo.run={source}"]
    told += ["pseudo.recipe=", "pseudo.pool_digest="]
    if given.get("start") == "last":
        if run.is_blend():
            raise UsageError(f"start=last: {source} is a blend, which has no weights to start from")
        told += [f"model.weights={source}", "model.weights_digest=", "model.pretrained=false"]
        if "optimizer.lr" not in said and not config.model.weights == config.pseudo.run != "":
            told.append(f"optimizer.lr={LOWER * config.optimizer.lr:g}")
    told += [f"pseudo.{key}={value}" for key, value in given.items() if key not in OF_VERB]
    return [*told, *words]


def _recipe_of(run: Run) -> Run:
    """The run whose recipe a round takes: of a blend, its heaviest, then best member's."""
    while run.is_blend():
        sign = 1 if run.scores()["greater_is_better"] else -1
        standing = [
            (one["weight"] or 0, -math.inf if one["score"] is None else sign * one["score"])
            for one in run.blend(None)["members"]
        ]
        heaviest = run.blend(None)["members"][standing.index(max(standing))]
        name = heaviest["name"].partition(":")[0]
        print(f"{run.name} is a blend: the recipe is that of {name}", file=sys.stderr)
        run = Run(name)
    return run


def _of_competition(config: Config) -> list[str]:
    """What a run's config says of its competition and folds, as words."""
    default, words = compose.flat(Config()), []
    for key, value in compose.flat(config).items():
        if key.startswith(("competition.", "folds.")) and value != default[key]:
            words.append(f"{key}={value if isinstance(value, str) else json.dumps(value)}")
    return words
