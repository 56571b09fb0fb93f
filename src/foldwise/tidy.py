"""Keeping oof/ in order: renaming, removing and cleaning runs."""

import contextlib
import csv
import io
import os
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from foldwise import compose
from foldwise.errors import FoldwiseError, UsageError, first_few, nearest
from foldwise.files import abandoned, home, shown, submission_file, write_text
from foldwise.runs import Run, every_run

DAY = 24 * 3600.0


def rename(run: Run, to: str) -> list[str]:
    """Give a run another name, everywhere: its folder, config, submission and the log of these.

    No table changes by it, since none has the run's name. Returns what there is to say. Raises
    UsageError for a name that cannot be one, FoldwiseError where the name is taken or the run is
    being trained.
    """
    compose.check_run_name(to, "to")
    config, new = run.config(), Run(to)
    refuse_training(run)
    views = ["", *dict.fromkeys(views for fold in run.finished() for views in run.views(fold))]
    files = {submission_file(run.name, one): submission_file(to, one) for one in views}
    files = {old: new for old, new in files.items() if old.exists() and old.stem != "log"}
    for path in (new.folder, *files.values()):
        if path.exists():
            raise FoldwiseError(f"{shown(path)} is there already: choose another name than {to}")
    with run.locked():
        run.folder.rename(new.folder)  # first: whatever comes after can be done again by hand
        config.run = to
        write_text(new.config_file, compose.to_yaml(config))
    for old_file, new_file in files.items():
        old_file.rename(new_file)
    _rename_in_log(run.name, to)
    said = [f"{run.name} is now {to}"]
    if new.report_folder.exists():
        shutil.rmtree(new.report_folder)
        said.append(f"its report had the old name in it: ./run.sh report run={to}")
    needed = [f"{line}, and finds none of that name now: make it again" for line in users([run])]
    return [*said, *needed]


def users(runs: Sequence[Run]) -> list[str]:
    """A line for each other run that is made of one of these, or has learned from one."""
    names, found = {run.name for run in runs}, []
    for run in every_run():
        if run.name in names:
            continue
        with contextlib.suppress(FoldwiseError):
            config = run.config()
            members = {word.partition(":")[0] for word in config.blend.runs}
            if run.is_blend():
                members |= {one["name"].partition(":")[0] for one in run.blend(None)["members"]}
            found += [f"{run.name} is made of {name}" for name in sorted(members & names)]
            teachers = (config.pseudo.run, config.distill.run, config.model.weights)
            taught = dict.fromkeys(name for name in teachers if name in names)
            found += [f"{run.name} has learned from {name}" for name in taught]
    return found


def _rename_in_log(old: str, new: str) -> None:
    path = home() / "submissions" / "log.csv"
    if not path.is_file():
        return
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    if not rows or "run" not in rows[0]:
        return
    column = rows[0].index("run")
    for row in rows[1:]:
        name, *views = "".join(row[column : column + 1]).split(":")
        if name == old:
            row[column] = ":".join([new, *views])
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    write_text(path, text.getvalue())


def refuse_training(run: Run) -> None:
    """Raises FoldwiseError where a process trains a fold of the run."""
    if folds := run.in_training():
        raise FoldwiseError(
            f"fold {first_few(folds)} of {run.name} is being trained by another process: "
            "wait for it, or stop it"
        )


def delete(path: Path) -> None:
    """Remove a run, or a file or folder of one; a folder is first moved aside, so that no run is
    seen by halves. Raises FoldwiseError where the run is being trained by now."""
    refuse_training(_run_of(path))
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # `clean` takes what a kill leaves
    path.rename(aside)
    shutil.rmtree(aside)


@dataclass(frozen=True)
class Leftover:
    """Something that nobody needs any more, and why."""

    path: Path
    why: str
    size: int


def leftovers(days: float, competition: str = "") -> list[Leftover]:
    """What `runs clean` would delete, biggest first; never anything of a run in training.

    ``competition``: only in its runs, as of `runs_of`. Debug runs; runs without a finished fold,
    and checkpoints of unfinished folds, that nobody has touched for ``days``; checkpoints of
    finished folds; what killed processes left half written.
    """
    found = []
    before = time.time() - days * DAY
    for folder in sorted(p for p in (home() / "oof").glob("*") if p.is_dir()):
        run = Run(folder.name)
        if folder.name.startswith(".") or run.in_training():
            continue
        if _is_debug(run):
            found.append(_leftover(folder, "a debug run"))
        elif _is_partial(run) and _touched(folder) < before:
            found.append(_leftover(folder, "no fold is finished"))
        else:
            found += [_leftover(path, why) for path, why in _checkpoints(run, before)]
    for place in (home() / "oof", *(p for p in (home() / "oof").rglob("*") if p.is_dir())):
        inside = any(one.path in (place, *place.parents) for one in found)
        if not inside and place.exists():
            rest = [p for p in place.iterdir() if abandoned(p)]
            found += [_leftover(path, "half written by a killed process") for path in rest]
    names = {run.name for run in runs_of(competition)} if competition else set()
    chosen = [one for one in found if not competition or _run_of(one.path).name in names]
    return sorted(chosen, key=lambda one: -one.size)


def _is_debug(run: Run) -> bool:
    try:
        return run.config().debug
    except FoldwiseError:
        return False


def _is_partial(run: Run) -> bool:
    """Whether it was begun and nothing came of it; a blend has tables without models."""
    begun = run.config_file.is_file() or bool(run.fold_folders())
    return begun and not run.finished() and not (run.folder / "oof.parquet").is_file()


def _checkpoints(run: Run, before: float) -> list[tuple[Path, str]]:
    finished = run.finished()
    found = []
    for fold in run.fold_folders():
        for path in sorted(run.fold_folder(fold).glob("*.ckpt")):
            if fold in finished:
                found.append((path, "the fold is finished"))
            elif path.stat().st_mtime < before:
                found.append((path, "an old checkpoint of an unfinished fold"))
    return found


def _touched(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def _leftover(path: Path, why: str) -> Leftover:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return Leftover(path, why, sum(file.stat().st_size for file in files))


def agreed(question: str, yes: bool) -> bool:
    """Asks on a terminal; elsewhere only ``yes`` agrees. Raises UsageError where nobody can."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to be asked: say yes=true to delete")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def several(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def megabytes(size: float) -> str:
    return f"{size / 2**20:,.1f} MB"


def named(names: str, competition: str = "") -> list[Run]:
    """``a,b`` or ``'exp*'`` -> these runs, of all or of one competition.

    Raises FoldwiseError where a name fits none.
    """
    found: dict[str, Run] = {}
    for word in map(str.strip, names.split(",")):
        fit = [run for run in every_run() if Path(run.name).match(word)]
        if not fit:
            Run(word).config()  # says that there is none, and which is near
        if competition:
            chosen = {run.name for run in runs_of(competition)}
            fit = [run for run in fit if run.name in chosen]
        if not fit:
            raise FoldwiseError(
                f"run={word} names no run of {competition}: ./run.sh runs "
                f"competition={competition} lists these"
            )
        found |= {run.name: run for run in fit}
    return list(found.values())


def runs_of(competition: str) -> list[Run]:
    """The runs of a competition, by name. Raises FoldwiseError where there are none."""
    slugs = dict[str, str]()
    for run in every_run():
        with contextlib.suppress(FoldwiseError):  # nobody knows whose it is
            slugs[run.name] = Path(run.config().competition.slug).name
    chosen = [Run(name) for name, slug in slugs.items() if slug == competition]
    if not chosen:
        known = sorted(set(slugs.values()))
        raise FoldwiseError(
            f"oof/ has no run of {competition}; there are runs of {first_few(known) or 'none'}"
            f"{nearest(competition, known)}"
        )
    return chosen


def _run_of(path: Path) -> Run:
    """The run that a path below oof/ is in."""
    return Run(path.relative_to(home() / "oof").parts[0])


def table_of(rows: Sequence[Leftover]) -> list[str]:
    width = max(len(megabytes(one.size)) for one in rows)
    return [f"{megabytes(one.size):>{width}}  {shown(one.path)}  ({one.why})" for one in rows]
