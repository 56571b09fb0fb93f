"""The steps of `kernel train` and `kernel infer`: what Kaggle does, and what is done here."""

from collections.abc import Mapping
from functools import partial

from foldwise import compose
from foldwise.begin import stay, to_train
from foldwise.blended import carried
from foldwise.competition import layout
from foldwise.competition.folds import frozen_folds
from foldwise.competition.layout import CompetitionData
from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError, first_few, nearest
from foldwise.files import home
from foldwise.kaggle.infer_kernel import infer, submit
from foldwise.kaggle.kernel import KINDS, Terms, machine_named
from foldwise.kaggle.train_kernel import collect, trained
from foldwise.recipe import adopt
from foldwise.runs import Run
from foldwise.verbs.table import OF_KERNELS, own_keys, refuse_unknown
from foldwise.verbs.words import choice, flag, laid_out, number


def run(words: list[str]) -> int:
    action, rest = (words[0], words[1:]) if words else ("", [])
    actions = ("train", "infer", "submit")
    if action not in actions:
        raise UsageError(
            f"{f'kernel {action}'.strip()}: say kernel train, kernel infer or kernel submit"
            f"{nearest(action, actions)} (./run.sh help kernel)"
        )
    if action == "train":  # its own keys beside those of the config, which it takes all
        refuse_unknown("kernel train", rest, OF_KERNELS)
        own = [w for w in rest if w.partition("=")[0] in OF_KERNELS]
        given = dict(compose.split_word(word) for word in own)
        config = compose.compose(laid_out([word for word in rest if word not in own]))
        train_in_kernels(config, terms_of(given), flag(given, "each"))
        return 0
    given = own_keys("kernel", rest, required=("run",))
    one, slug = Run(given["run"]), given.get("competition", "")
    if action == "infer":
        print(infer_in_kernel(one, slug, terms_of(given)))
    else:
        again, minutes = flag(given, "again"), number(given, "wait", 720)
        print(submit(one, slug, given.get("message", ""), again, minutes))
    return 0


def terms_of(given: Mapping[str, str]) -> Terms:
    """What a kernel may use, by the verb's own keys. Raises UsageError."""
    hours = number(given, "hours", 11)
    return Terms(
        machine_named(given.get("machine", "t4x2")), choice(given, "kind", KINDS), hours,
        number(given, "wait", 60 * hours + 60), number(given, "memory", 29), flag(given, "local"),
    )  # fmt: skip


def train_in_kernels(config: Config, terms: Terms, each: bool) -> None:
    """Train the folds that ``config.fold`` names and that are not finished, in kernels.

    ``each``: one a fold, otherwise one for all. What they leave is taken into oof/<run>/ as if it
    had been trained here; an unfinished fold keeps its checkpoint there, and the next call goes on
    with it. Raises FoldwiseError where a fold stays unfinished.
    """
    data = layout.load(config)
    split = frozen_folds(data, config, partial(_duplicates, data, config), freeze=False)
    folds, run = compose.parse_folds(config.fold, split.k), Run(config.run)
    if stay(run, config, folds):
        adopt(config, run.config())
    folds = to_train(run, config, folds)
    if not folds:
        print(f"{run.name}: these folds are finished (overwrite=true: train them again)")
        return
    if not config.debug:
        split.freeze()
    unfinished: list[int] = []
    groups = [[k] for k in folds] if each else [folds]
    for turn, (group, folder) in enumerate(trained(config, data, split, groups, terms)):
        # Every begin of a debug run, or with overwrite=true, removes what it names: the first does.
        resolved, rest = collect(config, split, group, folder, begin=folds if turn == 0 else [])
        unfinished += rest
        if run.finished():
            from foldwise.training.results import finish  # torch only now: a push needs none

            finish(run, resolved, data, split)
    if unfinished:
        raise FoldwiseError(
            f"{run.name}: folds {first_few(unfinished)} are unfinished; what they have is saved "
            "here: the same command (without overwrite=true) goes on with them in another kernel"
        )


def infer_in_kernel(run: Run, competition: str, terms: Terms) -> str:
    """`kaggle.infer_kernel.infer`, with all that the run's predictions are made with."""
    files = carried(run, home() / "kernels" / f"{run.name}-infer" / "weights")
    return infer(run, files, competition, terms)


def _duplicates(data: CompetitionData, config: Config) -> list[str]:
    from foldwise.training.train import near_duplicates

    return near_duplicates(data, config)
