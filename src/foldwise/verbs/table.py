"""The verbs of the command line with their keys. What they do is in the modules of their names."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from foldwise import compose
from foldwise.config import Config
from foldwise.errors import UsageError, nearest
from foldwise.verbs.comments import own_settings


@dataclass(frozen=True)
class Verb:
    """A word of the command line. ``keys`` are its own; with ``config`` it takes every setting."""

    does: str
    keys: dict[str, str] = field(default_factory=dict)
    config: bool = False


OF_KERNELS = {
    "machine": "t4x2 (left out), cpu, l4, l4x4, a100, h100 or rtx6000",
    "local": "true: the very files run here, in folders like Kaggle's and without network",
    "kind": "notebook (left out) or script",
    "hours": "that a kernel may take (left out: 11); what is unfinished then is saved",
    "wait": "minutes to wait for its end, or for the score (left out: its hours and one more)",
    "memory": "GB that it may take with local=true (left out: 29)",
    "each": "train: true: a kernel for each fold",
}

OF_EPOCH = "with the weights of that epoch, which train.save_every has kept"
OF_TTA = "other views that it was predicted with: that of submissions/<run>.<tta>.csv"

OF_PSEUDO = (  # settings of pseudo.… that the verb takes bare
    *("threshold", "pool", "labels", "share", "agree", "balance", "duplicates", "weight"),
)

VERBS = {
    "train": Verb("train folds; write the submission when all are there", config=True),
    "predict": Verb(
        "predict an image, a folder or a list; or OOF and test of a run again with other views",
        {
            "run": "the run whose networks predict; with input= any blend, too",
            "input": "an image, a folder, a .txt or .csv of images (left out: its OOF and test)",
            "out": "of a folder or list: FILE.csv, .json or .parquet; -: JSON on the screen",
            "top": "classes that are shown (left out: 5)",
            "members": "true: each fold's prediction (of a blend each run's) beside the mean",
            "fold": "folds to predict: 0..4, 0,2, 3 or all (left out: those that are finished)",
            "epoch": f"beside input=: {OF_EPOCH}",
            "tta": "views: flip, flips, d4, crop4, views8, views16, shift16, multiscale, a list",
            "views": "true: each of the views alone, too, in tables of its own",
        },
    ),
    "evaluate": Verb(
        "score a run or blend on a labelled set, and draw its mistakes",
        {
            "run": "the run whose networks predict",
            "input": "a folder with a folder a class, a .csv of images with labels, or a folder",
            "truth": "a table of ids and labels for the images of that folder",
            "fold": "folds whose mean predicts: 0..4, 0,2, 3 (left out: all that are finished)",
            "epoch": OF_EPOCH,
            "tta": "views, as of predict (left out: the run's own)",
        },
    ),
    "export": Verb(
        "write a run's networks as ONNX, checked against torch",
        {
            "run": "the run, not a blend",
            "fold": "folds to write: 0..4, 0,2, 3 (left out: all that are finished)",
            "epoch": OF_EPOCH,
            "mean": "true: one file with the mean of the folds instead of one each",
            "out": "folder for the files (left out: oof/<run>/export)",
        },
    ),
    "blend": Verb(
        "make a run out of runs, with a score that you can believe",
        {
            "run": "the name of the blend",
            "seed": "of random bags and trees",
            "overwrite": "make it again where a blend of this name has other settings or members",
            **own_settings("Config", ("checks",)),
            **own_settings("Blend"),
        },
    ),
    "pseudo": Verb(
        "rounds of pseudo-labels: A-p1, A-p2 … learn what run=A says of unlabelled images",
        {
            "run": "the run or blend that the first round learns from",
            "rounds": "how many (left out: 1); finished ones are skipped",
            "start": "last: from the weights of the round before, at a lower rate [scratch|last]",
            "stop": "best: end when a round gains no more than noise [rounds|best]",
            "name": "the rounds are NAME-p1, NAME-p2 … (left out: the run's)",
            **{k: v for k, v in own_settings("Pseudo").items() if k in OF_PSEUDO},
            "…": "every setting of `help train`; the others are as in run",
        },
    ),
    "submission": Verb(
        "write and check submissions/<run>.csv",
        {"run": "the run to take it from", "tta": OF_TTA},
    ),
    "submit": Verb(
        "send submissions/<run>.csv, wait for its score, write it into submissions/log.csv",
        {
            "run": "the run whose submission it is",
            "tta": OF_TTA,
            "file": "a file that is sent as it is, such as one changed by hand, without a CV",
            "message": "what Kaggle shows beside it (left out: the run and its CV)",
            "offline": "true: grade it on the competition folder's solution.csv instead",
            "wait": "minutes to wait for the score (left out: 60)",
            "again": "true: send a file that was sent and scored before",
            "anyway": "true: send it in spite of what is wrong with it",
            "competition": "its name on Kaggle, where the folder has another",
        },
    ),
    "leaderboard": Verb(
        "our submissions: CV beside public score, how they agree, and our place",
        {
            "competition": "whose (left out: digits)",
            "offline": "true: do not ask Kaggle",
        },
    ),
    "kernel": Verb(
        "train folds, predict and submit in Kaggle kernels: kernel train, infer or submit",
        {
            "run": "infer and submit: the run (train takes every setting of the verb train)",
            **OF_KERNELS,
            "competition": "its name on Kaggle, where the folder has another",
            "message": "submit: what Kaggle shows beside it",
            "again": "submit: true: send a version that was sent and scored before",
        },
    ),
    "audit": Verb(
        "what is wrong with a competition's data; audit run=NAME: with its labels, by that run",
        config=True,
    ),
    "images": Verb(
        "sheets of what the model sees; images pack decodes all images once, images clean "
        "deletes that",
        config=True,
    ),
    "download": Verb(
        "get a competition's files into input/",
        {
            "competition": "name of the folder under input/, and of the competition on Kaggle",
            "from": "a zip file with the competition's files (left out: it comes from Kaggle)",
        },
    ),
    "models": Verb(
        "list models with their parameters, multiply-adds and source",
        {
            "match": "part of a name, or a pattern: 'resnet*' (left out: ours and a few)",
            "size": "pixels a side for the multiply-adds (left out: 32)",
        },
    ),
    "report": Verb(
        "one HTML page of a run: figures, mistakes, what to try next; without run, of all runs",
        {
            "run": "the run; a,b or 'exp*': a page each (left out: all runs, a page a competition)",
            "runs": "these runs alone on the page of all: a,b or 'exp*'",
            "competition": "only this competition's runs",
            "fold": "these folds of run alone, a page each: 0..4, 0,2, 3 or all",
            "gradcam": "true: where the networks of run look, too, in its worst mistakes",
        },
    ),
    "runs": Verb(
        "the table of runs; runs compare says which of two is really better; runs rename, "
        "runs remove, runs clean",
        {
            "competition": "only this competition's runs: of the table, remove and clean",
            "run": "the run to compare, rename or remove; several to remove: a,b or 'exp*'",
            "with": "compare: the run beside it",
            "to": "its new name",
            "days": "clean: what is unfinished and untouched for so many days goes (7)",
            "yes": "yes=true deletes without asking",
        },
    ),
    "test": Verb("run the project's tests; takes pytest's own words"),
    "help": Verb("list the verbs, or one verb with its keys"),
}


def known_verb(word: str) -> str:
    if word not in VERBS:
        raise UsageError(f"there is no verb '{word}'{nearest(word, VERBS)} (./run.sh help)")
    return word


def own_keys(verb: str, words: list[str], required: tuple[str, ...] = ()) -> dict[str, str]:
    """The key=value words of a verb that takes only its own keys."""
    known = VERBS[verb].keys
    given = dict(compose.split_word(word) for word in words)
    for key in given:
        if key not in known:
            raise UsageError(
                f"{verb} has no key '{key}'{nearest(key, known)} (./run.sh help {verb})"
            )
    for key in required:
        if not given.get(key):
            raise UsageError(f"{verb} needs {key}=…: {known[key]} (./run.sh help {verb})")
    return given


def refuse_unknown(verb: str, words: list[str], own: Iterable[str]) -> None:
    """Raises UsageError for a key that is neither of ``own`` nor a setting, with the nearest.

    Groups, and what is wrong in the dotted names of settings, are said by `compose`.
    """
    settings = compose.flat(Config())
    groups = (name.split(".")[0] for name in settings)
    known = [*own, *settings, *groups, *compose.ALIASES]
    for word in words:
        key = word.partition("=")[0]
        if "=" in word and "." not in key and key not in known:
            raise UsageError(
                f"{verb} has no key or setting '{key}'{nearest(key, known)} "
                f"(./run.sh help {verb.split(maxsplit=1)[0]})"
            )
