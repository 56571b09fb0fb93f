"""`audit`: what is wrong with a competition's data, or, by a run, with its labels."""

import sys

from foldwise import compose
from foldwise.competition import layout
from foldwise.competition.folder import place_to_write
from foldwise.errors import UsageError
from foldwise.images.decode import threads
from foldwise.runs import Run
from foldwise.verbs.words import flag, laid_out


def run(words: list[str]) -> int:
    if any(word.startswith("run=") for word in words):
        return doubts(words)
    config = compose.compose(laid_out(words))
    from foldwise.audit.audit import audit

    config.images.missing = "drop"  # they are counted and named, and stop nothing
    data = layout.load(config)
    print("\n".join(data.said), file=sys.stderr)
    audit(data, place_to_write(data.folder), threads(config.images.workers))
    return 0


def doubts(words: list[str]) -> int:
    """``audit run=NAME``: all else is said by the run."""
    given = dict(compose.split_word(word) for word in words)
    others = [key for key in given if key not in ("run", "overwrite")]
    if others:
        raise UsageError(
            f"audit run={given['run']} takes no {others[0]}=: the run says what it was trained on"
        )
    from foldwise.audit.label_noise import doubt_labels

    run = Run(given["run"])
    config = run.config()
    config.images.missing = "drop"
    data = layout.load(config)
    overwrite = flag(given, "overwrite")
    doubt_labels(run, data, place_to_write(data.folder), overwrite)
    return 0
