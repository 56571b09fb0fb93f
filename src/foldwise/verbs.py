"""The verbs of the command line: each strings the steps of its rooms together.

Nothing heavy is imported here until a verb needs it: `help` answers at once.
"""

import sys

from foldwise import compose, interrupt
from foldwise.errors import FoldwiseError, UsageError, nearest
from foldwise.help import Verb, own_settings, verb_help, verbs_help
from foldwise.words import choice, flag, number


def train(words: list[str]) -> int:
    words = laid_out(words)
    config = compose.compose(words)
    if config.pseudo.run:
        from foldwise.rounds import train_round

        train_round(config, words)
        return 0
    if config.gpus > 1 and not config.debug:
        from foldwise.training.gpus import train_on_gpus

        train_on_gpus(config, words)
        return 0
    from foldwise.training.train import train

    train(config)
    return 0


def laid_out(words: list[str]) -> list[str]:
    """The words with ``competition=FILE.zip`` as the competition that the zip is laid out as.

    That is input/FILE/, which is made where it is not there.
    """
    from pathlib import Path

    changed = []
    for word in words:
        key, _, value = word.partition("=")
        source = Path(value).expanduser()
        if (
            key in ("competition", "competition.slug")
            and value.endswith(".zip")
            and source.is_file()
        ):
            from foldwise.competition.folder import folder_of
            from foldwise.kaggle.download import download

            if not folder_of(source.stem).exists():
                download(source.stem, source)
            word = f"{key}={source.stem}"
        changed.append(word)
    return changed


def predict(words: list[str]) -> int:
    given = own_keys("predict", words, required=("run",))
    if "input" in given:
        if "views" in given:
            raise UsageError("views= is for the run's own rows: leave it out beside input=")
        from foldwise.predict_verb import predict_input

        top, members = int(number(given, "top", 5)), flag(given, "members")
        out, fold, tta = (given.get(key, "") for key in ("out", "fold", "tta"))
        predict_input(given["run"], given["input"], out, fold, tta, max(1, top), members)
        return 0
    for key in ("out", "top", "members"):
        if key in given:
            raise UsageError(f"{key}= wants input=: an image, a folder or a list of images")
    own_keys("predict", words, required=("tta",))
    single = flag(given, "views")
    from foldwise.prediction.again import predict_again

    predict_again(given["run"], given.get("fold", ""), given["tta"], single)
    return 0


def evaluate(words: list[str]) -> int:
    given = own_keys("evaluate", words, required=("run", "input"))
    from foldwise.evaluate_verb import evaluate

    truth, fold, tta = (given.get(key, "") for key in ("truth", "fold", "tta"))
    evaluate(given["run"], given["input"], truth, fold, tta)
    return 0


def export(words: list[str]) -> int:
    given = own_keys("export", words, required=("run",))
    from foldwise.prediction.export import export

    export(given["run"], given.get("fold", ""), given.get("out", ""), flag(given, "mean"))
    return 0


def blend(words: list[str]) -> int:
    import json

    given = own_keys("blend", words, required=("runs", "run"))
    for key in ("runs", "weights"):  # a,b,c stands for [a,b,c]; a pattern may have any sign
        if key in given and not given[key].startswith("["):
            items = [item.strip() for item in given[key].split(",") if item.strip()]
            given[key] = json.dumps(items) if key == "runs" else f"[{','.join(items)}]"
    try:
        json.loads(given.get("weights", "[]"))
    except ValueError as error:
        raise UsageError(
            f"weights={given['weights'].strip('[]')} are not numbers: say weights=2,1,1, one a run"
        ) from error
    general = ("run", "seed", "overwrite", "checks")
    pairs = [(k if k in general else f"blend.{k}", value) for k, value in given.items()]
    config = compose.compose([f"{key}={value}" for key, value in pairs])
    from foldwise.ensemble.blend import blend

    blend(config)
    return 0


def pseudo(words: list[str]) -> int:
    own = [word for word in words if word.partition("=")[0] in VERBS["pseudo"].keys]
    given = own_keys("pseudo", own, required=("run",))
    count = given.get("rounds", "1")
    if not count.isdecimal() or not 1 <= int(count) <= 100:
        raise UsageError(f"rounds={count} is not a number from 1 to 100")
    given["start"] = choice(given, "start", ("scratch", "last"))
    given["stop"] = choice(given, "stop", ("rounds", "best"))
    from foldwise.rounds import rounds

    rounds(given, laid_out([word for word in words if word not in own]))
    return 0


def submission(words: list[str]) -> int:
    given = own_keys("submission", words, required=("run",))
    from foldwise.competition import layout
    from foldwise.competition.submission import write_submission
    from foldwise.files import shown
    from foldwise.kaggle.submit import check
    from foldwise.runs import Run

    run = Run(given["run"])
    config = run.config()
    config.run = run.name  # the folder's, should a person have renamed it
    table, _ = run.test_table()
    data = layout.load(config)
    path = write_submission(config, data, table)
    print(shown(path))
    check(config, data, path)
    return 0


def submit(words: list[str]) -> int:
    given = own_keys("submit", words, required=("run",))
    from foldwise.kaggle.submit import Wishes, submit
    from foldwise.runs import Run

    wishes = Wishes(
        given.get("message", ""), given.get("competition", ""), flag(given, "offline"),
        flag(given, "again"), flag(given, "anyway"), number(given, "wait", 60),
    )  # fmt: skip
    print(submit(Run(given["run"]), wishes))
    return 0


def leaderboard(words: list[str]) -> int:
    given = own_keys("leaderboard", words)
    from foldwise.kaggle.leaderboard import place_of, table

    slug = given.get("competition", "digits")
    place = "" if flag(given, "offline") else place_of(slug)
    print("\n".join(filter(None, [table(slug), place])))
    return 0


def kernel(words: list[str]) -> int:
    action, rest = (words[0], words[1:]) if words else ("", [])
    actions = ("train", "infer", "submit")
    if action not in actions:
        raise UsageError(
            f"kernel {action}: say kernel train, kernel infer or kernel submit"
            f"{nearest(action, actions)} (./run.sh help kernel)"
        )
    if action == "train":  # its own keys beside those of the config, which it takes all
        own = [w for w in rest if w.partition("=")[0] in OF_KERNELS]
        given = dict(compose.split_word(word) for word in own)
        config = compose.compose(laid_out([word for word in rest if word not in own]))
        from foldwise.kernels import terms_of, train_in_kernels

        train_in_kernels(config, terms_of(given), flag(given, "each"))
        return 0
    given = own_keys("kernel", rest, required=("run",))
    from foldwise.kaggle.infer_kernel import submit
    from foldwise.kernels import infer_in_kernel, terms_of
    from foldwise.runs import Run

    run, slug = Run(given["run"]), given.get("competition", "")
    if action == "infer":
        print(infer_in_kernel(run, slug, terms_of(given)))
    else:
        again, minutes = flag(given, "again"), number(given, "wait", 720)
        print(submit(run, slug, given.get("message", ""), again, minutes))
    return 0


def audit(words: list[str]) -> int:
    if any(word.startswith("run=") for word in words):
        return doubts(words)
    config = compose.compose(laid_out(words))
    from foldwise.audit.audit import audit
    from foldwise.competition import layout
    from foldwise.competition.folder import place_to_write
    from foldwise.images.decode import threads

    config.images.missing = "drop"  # they are counted and named, and stop nothing
    data = layout.load(config)
    print("\n".join(data.said), file=sys.stderr)
    audit(data, place_to_write(data.folder), threads(config.images.workers))
    return 0


def doubts(words: list[str]) -> int:
    """``audit run=NAME``: all else is said by the run."""
    given = dict(compose.split_word(word) for word in words)
    others = [key for key in given if key != "run"]
    if others:
        raise UsageError(
            f"audit run={given['run']} takes no {others[0]}=: the run says what it was trained on"
        )
    from foldwise.audit.label_noise import doubt_labels
    from foldwise.competition import layout
    from foldwise.competition.folder import place_to_write
    from foldwise.runs import Run

    run = Run(given["run"])
    config = run.config()
    config.images.missing = "drop"
    data = layout.load(config)
    doubt_labels(run, data, place_to_write(data.folder))
    return 0


def images(words: list[str]) -> int:
    action = words[0] if words and "=" not in words[0] else ""
    if action not in ("", "pack", "clean"):
        hint = nearest(action, ("pack", "clean"))
        raise UsageError(f"images {action}: say images, images pack or images clean{hint}")
    config = compose.compose(laid_out(words[1:] if action else words))
    from foldwise.competition import layout
    from foldwise.competition.folder import existing_folder, packs_of
    from foldwise.files import shown

    if not action:
        from foldwise.training.sheets import write_sheets

        for path in write_sheets(config):
            print(shown(path))
        return 0
    if action == "clean":
        from foldwise.images.pack import clean

        folder = packs_of(existing_folder(config.competition.slug))
        print(f"{clean(folder) / 2**20:,.0f} MB freed in {shown(folder)}")
        return 0
    from foldwise.prediction.sources import make_packs

    for part, pack, folder in make_packs(config, layout.load(config)):
        size, shape = pack.pixels.nbytes / 2**20, " x ".join(map(str, pack.pixels.shape))
        print(f"{part}: {shape}, {size:,.0f} MB in {shown(folder)}")
    return 0


def download(words: list[str]) -> int:
    given = own_keys("download", words, required=("competition",))
    from pathlib import Path

    from foldwise.files import shown
    from foldwise.kaggle.download import download, download_from_kaggle

    if given.get("from"):
        folder = download(given["competition"], Path(given["from"]).expanduser())
    else:
        folder = download_from_kaggle(given["competition"])
    print(f"{shown(folder)} is ready: ./run.sh competition={given['competition']}")
    return 0


def models(words: list[str]) -> int:
    given = own_keys("models", words)
    from foldwise.models.listing import listing

    for line in listing(given.get("match", ""), given.get("size", "32")):
        print(line, flush=True)
    return 0


def report(words: list[str]) -> int:
    given = own_keys("report", words)
    from foldwise.report_verb import report

    gradcam = flag(given, "gradcam")
    if gradcam and not given.get("run"):
        raise UsageError("gradcam=true wants a run: say run=NAME too")
    run, runs, competition = (given.get(key, "") for key in ("run", "runs", "competition"))
    report(run, runs, competition, gradcam)
    return 0


def runs(words: list[str]) -> int:
    action = words.pop(0) if words and "=" not in words[0] else "list"
    wanted = {"list": (), "compare": ("run", "with"), "rename": ("run", "to"), "remove": ("run",),
              "clean": ()}  # fmt: skip
    if action not in wanted:
        raise UsageError(
            f"runs {action}: say runs, runs compare, runs rename, runs remove or runs clean"
            f"{nearest(action, wanted)}"
        )
    given = own_keys("runs", words, required=wanted[action])
    from foldwise import runs_verb

    yes = flag(given, "yes")
    if action == "list":
        runs_verb.list_runs(given.get("competition", ""))
    elif action == "compare":
        runs_verb.compare_runs(given["run"], given["with"])
    elif action == "rename":
        runs_verb.rename_run(given["run"], given["to"])
    elif action == "remove":
        runs_verb.remove_runs(given["run"], yes)
    else:
        runs_verb.clean_runs(given.get("days", ""), yes)
    return 0


def test(words: list[str]) -> int:
    """pytest in this process, over the clone's tests, with pytest's own words."""
    from pathlib import Path

    try:
        import pytest
    except ImportError as error:
        raise FoldwiseError(
            "pytest is not installed in the active environment: pip install pytest, "
            "or leave that environment so that .venv is used"
        ) from error
    clone = Path(__file__).resolve().parents[2]
    if not any(Path(word.split("::")[0]).exists() for word in words):
        words = [*words, str(clone / "tests")]
    with interrupt.left_alone():  # pytest has its own way with Ctrl-C
        return int(pytest.main(["-c", str(clone / "pyproject.toml"), *words]))


def show_help(words: list[str]) -> int:
    if not words:
        print(verbs_help(VERBS))
        return 0
    print(verb_help(words[0], VERBS[known_verb(words[0])]))
    return 0


OF_KERNELS = {
    "machine": "t4x2 (left out), cpu, l4, l4x4, a100, h100 or rtx6000",
    "local": "true: the very files run here, in folders like Kaggle's and without network",
    "kind": "notebook (left out) or script",
    "hours": "that a kernel may take (left out: 11); what is unfinished then is saved",
    "wait": "minutes to wait for its end, or for the score (left out: its hours and one more)",
    "memory": "GB that it may take with local=true (left out: 29)",
    "each": "train: true: a kernel for each fold",
}

OF_PSEUDO = (  # settings of pseudo.… that the verb takes bare
    *("threshold", "pool", "labels", "share", "agree", "balance", "duplicates", "weight"),
)

VERBS = {
    "train": Verb("train folds; write the submission when all are there", train, config=True),
    "predict": Verb(
        "predict an image, a folder or a list; or OOF and test of a run again with other views",
        predict,
        {
            "run": "the run whose networks predict; with input= any blend, too",
            "input": "an image, a folder, a .txt or .csv of images (left out: its OOF and test)",
            "out": "of a folder or list: FILE.csv, .json or .parquet; -: JSON on the screen",
            "top": "classes that are shown (left out: 5)",
            "members": "true: each fold's prediction (of a blend each run's) beside the mean",
            "fold": "folds to predict: 0..4, 0,2, 3 or all (left out: those that are finished)",
            "tta": "views: flip, flips, d4, crop4, views8, views16, shift16, multiscale, a list",
            "views": "true: each of the views alone, too, in tables of its own",
        },
    ),
    "evaluate": Verb(
        "score a run or blend on a labelled set",
        evaluate,
        {
            "run": "the run whose networks predict",
            "input": "a folder with a folder a class, a .csv of images with labels, or a folder",
            "truth": "a table of ids and labels for the images of that folder",
            "fold": "folds whose mean predicts: 0..4, 0,2, 3 (left out: all that are finished)",
            "tta": "views, as of predict (left out: the run's own)",
        },
    ),
    "export": Verb(
        "write a run's networks as ONNX, checked against torch",
        export,
        {
            "run": "the run, not a blend",
            "fold": "folds to write: 0..4, 0,2, 3 (left out: all that are finished)",
            "mean": "true: one file with the mean of the folds instead of one each",
            "out": "folder for the files (left out: oof/<run>/export)",
        },
    ),
    "blend": Verb(
        "make a run out of runs, with a score that you can believe",
        blend,
        {**own_settings("Config", ("run", "seed", "overwrite", "checks")), **own_settings("Blend")},
    ),
    "pseudo": Verb(
        "rounds of pseudo-labels: A-p1, A-p2 … learn what run=A says of unlabelled images",
        pseudo,
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
        "write and check submissions/<run>.csv", submission, {"run": "the run to take it from"}
    ),
    "submit": Verb(
        "send submissions/<run>.csv, wait for its score, write it into submissions/log.csv",
        submit,
        {
            "run": "the run whose submission it is",
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
        leaderboard,
        {
            "competition": "whose (left out: digits)",
            "offline": "true: do not ask Kaggle",
        },
    ),
    "kernel": Verb(
        "train folds, predict and submit in Kaggle kernels: kernel train, infer or submit",
        kernel,
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
        audit,
        config=True,
    ),
    "images": Verb(
        "sheets of what the model sees; images pack decodes all images once, images clean "
        "deletes that",
        images,
        config=True,
    ),
    "download": Verb(
        "get a competition's files into input/",
        download,
        {
            "competition": "name of the folder under input/, and of the competition on Kaggle",
            "from": "a zip file with the competition's files (left out: it comes from Kaggle)",
        },
    ),
    "models": Verb(
        "list models with their parameters, multiply-adds and source",
        models,
        {
            "match": "part of a name, or a pattern: 'resnet*' (left out: ours and a few)",
            "size": "pixels a side for the multiply-adds (left out: 32)",
        },
    ),
    "report": Verb(
        "one HTML page of a run: figures, mistakes, what to try next; without run, of all runs",
        report,
        {
            "run": "the run (left out: all runs, a page a competition)",
            "runs": "these runs alone: a,b or 'exp*'",
            "competition": "only this competition's runs",
            "gradcam": "true: where the networks of run look, too, in its worst mistakes",
        },
    ),
    "runs": Verb(
        "the table of runs; runs compare says which of two is really better; runs rename, "
        "runs remove, runs clean",
        runs,
        {
            "competition": "only this competition's runs",
            "run": "the run to compare, rename or remove; several to remove: a,b or 'exp*'",
            "with": "compare: the run beside it",
            "to": "its new name",
            "days": "clean: what is unfinished and untouched for so many days goes (7)",
            "yes": "yes=true deletes without asking",
        },
    ),
    "test": Verb("run the project's tests; takes pytest's own words", test),
    "help": Verb("list the verbs, or one verb with its keys", show_help),
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
