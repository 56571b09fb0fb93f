"""`kernel train`: folds train in kernels, and what these leave is taken into oof/<run>/."""

import copy
import dataclasses
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from foldwise import compose
from foldwise.begin import begin_run, refuse_taken
from foldwise.competition.folder import place_to_write, slug_of
from foldwise.competition.folds import FrozenFolds
from foldwise.competition.layout import CompetitionData
from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import read_json, shown
from foldwise.kaggle import dataset
from foldwise.kaggle.client import Kaggle, connect
from foldwise.kaggle.fetch import check_access
from foldwise.kaggle.inside import flat_name
from foldwise.kaggle.kernel import Kernel, Push, Terms, slug_for, write_kernel
from foldwise.kaggle.lookalike import competition_entries, run_here
from foldwise.kaggle.notebook import Cell
from foldwise.kaggle.output import check_output, fetch_output
from foldwise.kaggle.package import Package, metric_modules, package
from foldwise.kaggle.push import Busy, follow, mark, push
from foldwise.provenance import read_provenance
from foldwise.recipe import recipe_hash
from foldwise.runs import Run

# Settings that name files or runs of this machine.
OF_HERE = ("model.weights", "distill.run", "pseudo.run")
PATH_OF_HERE = re.compile(r"""(^|['"])(/|~|\.\./)""")  # in the text of a value, or inside of it
ABOUT = """\
# {run}

Trains fold {folds} of this run on the competition **{slug}**, on {machine}, for {hours:g} hours at
most; what is unfinished then is saved. Made by `./run.sh kernel train`, which also fetches the
output and takes it into the run as if it had been trained at home.

What differs from foldwise's defaults:

```yaml
{recipe}
```
"""
WORK = """\
from foldwise.kaggle import inside

inside.train("{run}", "{slug}", folds={folds}, hours={hours:g}{marker})
"""


def trained(
    config: Config, data: CompetitionData, split: FrozenFolds, groups: list[list[int]], terms: Terms
) -> Iterator[tuple[list[int], Path]]:
    """Train each group of folds in a kernel of its own; gives its folds and its output folder.

    ``config`` is the composed one, in which decisions may be open. A kernel that was pushed before
    and not collected is waited for, not pushed again. Raises FoldwiseError; where one of several
    kernels fails, after the others.
    """
    made = package("train", _extras(config, data, split))
    kaggle = None if terms.local else connect()
    if kaggle:
        check_access(kaggle, slug_of(config.competition.slug))
    state = _saved(Run(config.run), [k for group in groups for k in group])
    kernels = [_kernel(config, group, terms, kaggle, len(groups) > 1) for group in groups]
    marker, text = dataset.marked(state) if state else ("", b"")
    if kaggle and state:
        slug = slug_for(f"foldwise {config.run} state")
        ref = dataset.upload(kaggle, slug, state, marker, text)
        kernels = [dataclasses.replace(kernel, datasets=[ref]) for kernel in kernels]
    for kernel, group in zip(kernels, groups, strict=True):
        said = write_kernel(kernel, made, _cells(config, group, terms, marker))
        print(said if kernel is kernels[0] else said.splitlines()[-1])
    todo = list(zip(kernels, groups, strict=True))
    if kaggle:
        yield from _there(kaggle, todo, made, terms)
        return
    for kernel, group in todo:
        mounts = {f"competitions/{kernel.competition}": competition_entries(data.folder)}
        if state:
            listed = kernel.folder / marker
            listed.write_bytes(text)
            mounts["datasets/state"] = state | {marker: listed}
        working = kernel.folder / "local"
        print(f"{shown(kernel.code_file)} runs here; its log is {shown(working / 'log.txt')}")
        run_here(kernel, mounts, working, terms.hours + 1, terms.memory)
        check_output(working, made.sha256)
        yield group, working


def collect(
    config: Config, split: FrozenFolds, group: list[int], folder: Path, begin: list[int]
) -> tuple[Config, list[int]]:
    """Take a kernel's output into oof/<run>/; the resolved config, and the unfinished folds.

    ``begin``: folds with which the run is begun, or gone on with; [] where it has been. Raises
    FoldwiseError for an output of another recipe or split than was sent, and whatever
    begin_run refuses.
    """
    run, source = Run(config.run), folder / "oof" / config.run
    there = compose.load_config(source / "config.yaml")
    there.competition.slug, there.config = config.competition.slug, config.config
    there.overwrite, there.fold = config.overwrite, config.fold
    wanted = recipe_hash(there)
    finished = [k for k in group if (source / f"fold{k}" / "model.safetensors").is_file()]
    begun = [k for k in group if (source / f"fold{k}" / "last.ckpt").is_file()]
    for fold in finished:
        origin = read_provenance(source / f"fold{fold}" / "oof.parquet")
        if (origin.fold, origin.recipe_hash, origin.folds_hash) != (fold, wanted, split.hash):
            raise FoldwiseError(
                f"{shown(source)}: fold {fold} was trained by another recipe, or on another split "
                "or other labels than are here: push it again"
            )
    if begin:
        begin_run(run, there, split.hash, begin)
    else:
        refuse_taken(run, there)
    for fold in sorted({*finished, *begun}):
        run.take(fold, source / f"fold{fold}")
    run.write_environment(read_json(source / "environment.json"))
    return there, [k for k in group if k not in finished]


def _there(
    kaggle: Kaggle, todo: list[tuple[Kernel, list[int]]], made: Package, terms: Terms
) -> Iterator[tuple[list[int], Path]]:
    """Push as many kernels as Kaggle lets us at a time, and follow each to its end."""
    running: list[tuple[Kernel, list[int], Push]] = []
    failed: list[FoldwiseError] = []
    waiting = list(todo)
    while waiting or running:
        while waiting:
            kernel, group = waiting[0]
            try:
                pushed = push(kaggle, kernel, made.sha256, 3600 * terms.hours + 1800)
            except Busy:
                if not running:
                    raise
                break
            running.append((kernel, group, pushed))
            waiting.pop(0)
        kernel, group, pushed = running.pop(0)
        try:
            follow(kaggle, kernel.folder, pushed, terms.minutes)
            folder = kernel.folder / "output"
            fetch_output(kaggle, pushed, folder)
        except FoldwiseError as error:
            failed.append(error)
            print(f"fold {first_few(group)}: {error}", file=sys.stderr)
            continue
        yield group, folder
        mark(kernel.folder, pushed, state="collected")
    if failed:
        raise failed[0]


def _kernel(
    config: Config, group: list[int], terms: Terms, kaggle: Kaggle | None, several: bool
) -> Kernel:
    name = f"{config.run}-train" + (f"-fold{group[0]}" if several else "")
    return Kernel(
        name, kaggle.username if kaggle else "you", terms.machine, terms.kind,
        slug_of(config.competition.slug), internet=config.model.pretrained,
    )  # fmt: skip


def _cells(config: Config, group: list[int], terms: Terms, marker: str) -> list[Cell]:
    slug = slug_of(config.competition.slug)
    about = ABOUT.format(
        run=config.run, folds=", ".join(map(str, group)), slug=slug, machine=terms.machine,
        hours=terms.hours, recipe="\n".join(_said(config)) or "nothing",
    )  # fmt: skip
    work = WORK.format(
        run=config.run, slug=slug, folds=group, hours=terms.hours,
        marker=f', marker="{marker}"' if marker else "",
    )  # fmt: skip
    return [Cell("markdown", about), Cell("code", work)]


def _said(config: Config) -> list[str]:
    default = compose.flat(Config())
    ours = compose.flat(config)
    hidden = ("config", "run", "fold", "overwrite", "competition.slug")
    return [f"{k}: {v}" for k, v in ours.items() if v != default[k] and k not in hidden]


def _extras(config: Config, data: CompetitionData, split: FrozenFolds) -> dict[str, bytes]:
    """What goes along with the code: the recipe, the split, and what a person has added."""
    extras = {"recipe.yaml": _recipe(config).encode()}
    new = {path.name: text.encode() for path, text in split.pending}
    place = data.folder if (data.folder / "folds.csv").exists() else place_to_write(data.folder)
    for name in ("folds.csv", "folds.json"):
        extras[f"competition/{name}"] = new[name] if name in new else (place / name).read_bytes()
    if (data.folder / "corrections.csv").is_file():
        extras["competition/corrections.csv"] = (data.folder / "corrections.csv").read_bytes()
    return extras | metric_modules(config.competition)


def _recipe(config: Config) -> str:
    """The config as a recipe for elsewhere. Raises UsageError: it needs a file of this machine."""
    there = copy.deepcopy(config)
    there.competition.slug, there.config = slug_of(config.competition.slug), "default"
    there.images.pack = "off" if config.images.pack == "off" else "auto"
    there.images.workers, there.train.device = 0, "auto"
    there.gpus = 1  # each of the kernel's GPUs has a process of its own
    for key, value in compose.flat(there).items():
        if (key in OF_HERE and value) or PATH_OF_HERE.search(str(value)):
            raise UsageError(
                f"{key}={value} is on this machine, and a kernel does not have it: train here, or "
                "leave it out"
            )
    return compose.to_yaml(there)


def _saved(run: Run, folds: list[int]) -> dict[str, Path]:
    """What an earlier call has left of these folds, as files of a data set; none where nothing."""
    found = {}
    for fold in folds:
        path = run.checkpoint(fold)
        if path.is_file():
            found[flat_name(path.relative_to(run.folder))] = path
    return found | {"config.yaml": run.config_file} if found else {}
