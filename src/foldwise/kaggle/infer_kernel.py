"""`kernel infer` and `kernel submit`: a run predicts in a kernel, as code competitions want it."""

import hashlib
import math
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from foldwise import compose
from foldwise.competition import layout
from foldwise.competition.folder import slug_of
from foldwise.competition.layout import CompetitionData
from foldwise.config import Config
from foldwise.errors import FoldwiseError
from foldwise.files import home, read_json, shown, write_text
from foldwise.kaggle import dataset
from foldwise.kaggle.client import connect
from foldwise.kaggle.enlarge import TIMES, enlarge
from foldwise.kaggle.fetch import check_access
from foldwise.kaggle.inside import digest, flat_name
from foldwise.kaggle.kernel import Kernel, Terms, read_push, slug_for, write_kernel
from foldwise.kaggle.lookalike import competition_entries, run_here
from foldwise.kaggle.notebook import Cell
from foldwise.kaggle.output import check_output, fetch_output
from foldwise.kaggle.package import metric_modules, package
from foldwise.kaggle.push import follow, mark, push
from foldwise.kaggle.sending import Sending, submit_kernel
from foldwise.kaggle.submit import check, cv, scored
from foldwise.provenance import prediction_columns
from foldwise.recipe import recipe_hash
from foldwise.runs import Run

TOLERANCE = 0.02  # by which a probability may differ there: other chips, other precisions
TESTSET = "foldwise.prediction.testset"
Carried = Mapping[str, Mapping[str, Path]]
NOT_SUBMITTED = "nothing is submitted: train a run that has more to say"
ABOUT = """\
# {run}: inference

Predicts the test set of **{slug}** with {how}, and writes
`submission.csv`. {metric} on the folds that the networks had not seen: {score}.

{networks}

The weights are in private data sets; the internet is off. An image that is missing or broken gets
the classes' shares of the training set. Made by `./run.sh kernel infer`.
"""
PREDICT = """\
from {module} import {function}
from foldwise.kaggle import inside

# Each run's data set is known by the list of its files, wherever it is mounted.
run = inside.restored(
    "{run}",
    {{
{markers}
    }},
)
predicted = {function}(run, inside.competition("{slug}"))
"""
WRITE = """\
inside.write_submission(predicted.config.competition, predicted.data, predicted.table)
predicted.table.head()
"""


@dataclass(frozen=True)
class DataSet:
    """What a kernel needs of a run. marker: the name of the list of its files, ``text``.

    networks: how many are among them; said: a line on these.
    """

    run: str
    ref: str
    files: dict[str, Path]
    marker: str
    text: bytes
    networks: int
    said: str

    def mounted(self, folder: Path) -> dict[str, Path]:
        """Its files here, the list too."""
        (folder / self.marker).write_bytes(self.text)
        return self.files | {self.marker: folder / self.marker}


def infer(run: Run, carried: Carried, competition: str, terms: Terms) -> str:
    """Make the inference kernel, run it on Kaggle (or here), and compare what it predicts.

    ``carried``: {run: its files, by their place in its folder} of the run, the last one, and where
    it is a blend of all its members. Returns a line on how it went. Raises FoldwiseError.
    """
    config = run.config()
    config.run = run.name
    slug = competition or slug_of(config.competition.slug)
    data = layout.load(config)
    kaggle = None if terms.local else connect()
    owner = kaggle.username if kaggle else "you"
    if kaggle:
        check_access(kaggle, slug)
    kernel = Kernel(f"{run.name}-infer", owner, terms.machine, terms.kind, slug)
    sets = [_data_set(name, files, owner, slug, kernel.folder) for name, files in carried.items()]
    kernel.datasets.extend(one.ref for one in sets)
    made = package("blend" if len(sets) > 1 else "infer", metric_modules(config.competition))
    print(write_kernel(kernel, made, _cells(run, config, slug, sets)))
    if kaggle is None:
        mounts = {f"datasets/{one.ref}": one.mounted(kernel.folder) for one in sets}
        return _here(run, config, data, kernel, mounts, terms, made.sha256)
    for one in sets:
        dataset.upload(kaggle, one.ref.partition("/")[2], one.files, one.marker, one.text)
    pushed = push(kaggle, kernel, made.sha256, 3600 * terms.hours + 1800)
    follow(kaggle, kernel.folder, pushed, terms.minutes)
    output = kernel.folder / "output"
    fetch_output(kaggle, pushed, output)
    line = compare(run, config, output)
    check(config, data, output / "submission.csv", advice=NOT_SUBMITTED)
    mark(kernel.folder, pushed, state="checked", output=digest(output / "submission.csv"))
    return f"{line}; ./run.sh kernel submit run={run.name} submits version {pushed.version}"


def submit(run: Run, competition: str, message: str, again: bool, minutes: float) -> str:
    """Submit the version that `infer` has pushed and checked, and wait for its score.

    Returns the line with it. Raises FoldwiseError where there is no such version, and whatever
    `sending.submit_kernel` does.
    """
    config, folder = run.config(), home() / "kernels" / f"{run.name}-infer"
    pushed = read_push(folder)
    if pushed is None or pushed.state != "checked":
        raise FoldwiseError(
            f"{run.name} has no inference kernel that was pushed and checked: ./run.sh kernel "
            f"infer run={run.name}"
        )
    slug = competition or read_json(folder / "kernel-metadata.json")["competition_sources"][0]
    score = cv(run.scores())
    said = message or f"{run.name}, CV {score}"
    # No file is sent: what must not go twice is this version, whatever its public rows say.
    version = hashlib.sha256(f"{pushed.ref} {pushed.version} {pushed.output}".encode()).hexdigest()
    sending = Sending(slug, run.name, version, recipe_hash(config), score, said)
    return scored(submit_kernel(connect(), pushed.ref, pushed.version, sending, again, minutes))


def compare(run: Run, config: Config, folder: Path) -> str:
    """How far a kernel's probabilities are from ours. Raises FoldwiseError: farther than they may.

    In a regression the differences are in units of our predictions' spread.
    """
    ours, origin = run.test_table()
    theirs = pd.read_parquet(folder / "test.parquet")
    columns = prediction_columns(config.competition)
    if set(ours["id"]) != set(theirs["id"]):
        raise FoldwiseError(
            f"{shown(folder)} has {len(theirs):,} test rows and {run.name} {len(ours):,}, or other "
            "ids: the test set on Kaggle is not the one here; download it again"
        )
    ours = ours[~ours["id"].isin(origin.prior)]
    theirs = theirs.set_index("id").loc[ours["id"]]
    values = ours[columns].to_numpy(np.float64)
    scale = values.std() if config.competition.task == "regression" else 1.0
    far = np.abs(values - theirs[columns].to_numpy(np.float64)) / (scale or 1.0)
    worst = float(far.max()) if far.size else 0.0
    if not worst <= TOLERANCE:  # a nan is no agreement
        name = ours["id"].iloc[int(np.nanargmax(far.max(axis=1)))] if not math.isnan(worst) else "?"
        raise FoldwiseError(
            f"the kernel predicts something else than {run.name} here: up to {worst:.3f} apart "
            f"(id {name}), {TOLERANCE} may be; {shown(folder)} has its output"
        )
    return f"the kernel's {len(theirs):,} predictions are those of {run.name}, within {worst:.1e}"


def _here(
    run: Run, config: Config, data: CompetitionData, kernel: Kernel,
    mounts: dict[str, dict[str, Path]], terms: Terms, archive: str,
) -> str:  # fmt: skip
    """Run the very files in a look-alike: on the public test set, then on a larger, broken one."""
    working, place = kernel.folder / "local", f"competitions/{kernel.competition}"
    print(f"{shown(kernel.code_file)} runs here; its log is {shown(working / 'log.txt')}")
    known = mounts | {place: competition_entries(data.folder)}
    run_here(kernel, known, working, terms.hours, terms.memory)
    check_output(working, archive)
    line = compare(run, config, working)
    check(config, data, working / "submission.csv", advice=NOT_SUBMITTED)
    with tempfile.TemporaryDirectory() as temporary:
        larger = Path(temporary) / kernel.competition
        larger.mkdir()
        reason = enlarge(data, config.competition, larger)
        if reason:
            print(f"the test set could not be made larger ({reason})", file=sys.stderr)
            return line
        hidden = mounts | {place: {path.name: path for path in larger.iterdir()}}
        working = kernel.folder / "local-hidden"
        run_here(kernel, hidden, working, terms.hours, terms.memory, rerun=True)
        check_output(working, archive)
        config.competition.slug, config.images.missing = str(larger), "drop"
        check(config, layout.load(config), working / "submission.csv", advice=NOT_SUBMITTED)
    return f"{line}; a test set {TIMES} times as large, with a broken image, gives a submission too"


def _data_set(name: str, files: Mapping[str, Path], owner: str, slug: str, folder: Path) -> DataSet:
    """A run's files, and its recipe without what is of this machine: the same for every kernel."""
    there = Run(name).config()
    there.competition.slug, there.config, there.run = slug, "default", name
    there.images.pack, there.images.workers, there.train.device = "auto", 0, "auto"
    there.model.weights = ""  # they are in the networks
    recipe = folder / "weights" / name / "config.yaml"
    write_text(recipe, compose.to_yaml(there))
    flat = {"config.yaml": recipe} | {flat_name(Path(name)): path for name, path in files.items()}
    marker, text = dataset.marked(flat)
    ref, count = f"{owner}/{slug_for(f'foldwise {name} weights')}", len(files)
    networks = 0 if Run(name).is_blend() else count
    views, size = there.tta.views, there.images.size
    said = f"{name}: {count} of `{there.model.name}`, {size} pixels, views: {views}"
    return DataSet(name, ref, flat, marker, text, networks, said)


def _cells(run: Run, config: Config, slug: str, sets: list[DataSet]) -> list[Cell]:
    scores, networks = run.scores(), [one for one in sets if one.networks]
    count = sum(one.networks for one in networks)
    blend = len(sets) > 1
    about = ABOUT.format(
        run=run.name, slug=slug, metric=scores.get("metric", "Score"), score=cv(scores) or "-",
        how=f"a blend ({config.blend.method}) of {count} networks" if blend
        else f"the mean of {count} networks",
        networks="\n".join(f"- {one.said}" for one in networks),
    )  # fmt: skip
    predict = PREDICT.format(
        run=run.name, slug=slug, module="foldwise.blended" if blend else TESTSET,
        function="predict_run" if blend else "predict_test",
        markers="\n".join(f'        "{one.run}": "{one.marker}",' for one in sets),
    )  # fmt: skip
    return [Cell("markdown", about), Cell("code", predict), Cell("code", WRITE)]
