"""What a run's name may be begun with: one recipe, on one split, unless overwrite=true says so."""

from collections.abc import Sequence
from pathlib import Path

from foldwise.config import Config
from foldwise.errors import FoldwiseError, first_few
from foldwise.recipe import differences, recipe_hash
from foldwise.runs import Run


def replaced(run: Run, config: Config, folds: Sequence[int]) -> list[int]:
    """The folds with results that this call trains again from their beginning."""
    return [k for k in run.started() if config.debug or (config.overwrite and k in folds)]


def stay(run: Run, config: Config, folds: Sequence[int]) -> list[int]:
    """The folds with results, finished or not, that this call leaves or goes on with."""
    removed = replaced(run, config, folds)
    return [k for k in run.started() if k not in removed]


def to_train(run: Run, config: Config, folds: Sequence[int]) -> list[int]:
    """Those of ``folds`` that this call has yet to train: unfinished ones, and those replaced."""
    done = set(run.finished()) - set(replaced(run, config, folds))
    return [k for k in folds if k not in done]


def begin_run(run: Run, config: Config, folds_hash: str, folds: Sequence[int]) -> None:
    """Make the run, or go on with it; ``config`` is the resolved one.

    Removes what the named folds have where ``config.overwrite`` says so (all folds of a debug
    run), and never a fold that another process is training. Raises FoldwiseError where folds
    that stay were made by another recipe, on another split or of another competition; the
    differing settings are named.
    """
    removed, kept = replaced(run, config, folds), stay(run, config, folds)
    _same_recipe(run, config, kept)
    _same_split(run, folds_hash, [k for k in kept if k in run.finished()])
    for fold in removed:
        run.clear(fold)
    for fold in run.finished():  # killed between the model and the end
        run.checkpoint(fold).unlink(missing_ok=True)
    run.clear_blend(None)
    run.write_config(config)


def begin_blend(run: Run, config: Config, folds_hash: str) -> None:
    """Make the blend, or make it again; ``config`` is the resolved one.

    Raises FoldwiseError where the name is that of a trained run, and where without
    ``config.overwrite`` a blend of another recipe, split or competition would be replaced.
    """
    if run.is_trained():
        raise FoldwiseError(
            f"{run.name} is a trained run, and no blend replaces it: say another run=NAME"
        )
    started = run.started()
    if started and not config.overwrite:
        _same_blend(run, config)
        _same_split(run, folds_hash, started)
    for fold in started:
        run.clear_blend(fold)
    run.write_config(config)


def refuse_taken(run: Run, config: Config) -> None:
    """Raises FoldwiseError where another process has since made this another recipe's run."""
    changed = differences(run.config(), config)
    if changed:
        raise FoldwiseError(
            f"{run.name} was begun with another recipe at the same time "
            f"({'; '.join(changed)}): give this one a name of its own with run=NAME"
        )


def _same_recipe(run: Run, config: Config, kept: Sequence[int]) -> None:
    if not kept:
        return
    changed = _changes(run, config)
    wanted = recipe_hash(config)
    other = [k for k in kept if k in run.finished() and run.provenance(k).recipe_hash != wanted]
    if changed or other:
        reason = "; ".join(changed) or "their recipe hash differs"
        raise FoldwiseError(
            f"folds {first_few(other if other and not changed else kept)} of {run.name} were "
            f"made by another recipe ({reason}): give this one a name of its own with "
            "run=NAME (a round: name=NAME), or train those folds again with overwrite=true"
        )


def _changes(run: Run, config: Config) -> list[str]:
    """What makes it another recipe than the run's, or one of another competition."""
    stored = run.config()
    before, now = (Path(c.competition.slug).name for c in (stored, config))
    other = [f"competition: {before} -> {now}"] if before != now else []
    return other + differences(stored, config)


def _same_blend(run: Run, config: Config) -> None:
    changed = [one for one in _changes(run, config) if not one.startswith("blend.members:")]
    before, now = run.config().blend.members, config.blend.members
    if before != now:
        names = [one["name"] for one in run.blend(None)["members"]] if run.is_blend() else []
        told = len(names) == len(before) == len(now)
        pairs = zip(names, before, now, strict=False)
        other = [name for name, old, new in pairs if old != new]
        changed.append(f"{first_few(other)} now another recipe" if told else "other members")
    if changed:
        raise FoldwiseError(
            f"{run.name} is another blend ({'; '.join(changed)}): give this one a name of its "
            "own with run=NAME, or make it again with overwrite=true"
        )


def _same_split(run: Run, folds_hash: str, finished: Sequence[int]) -> None:
    other = [k for k in finished if run.provenance(k).folds_hash != folds_hash]
    if other:
        raise FoldwiseError(
            f"folds {first_few(other)} of {run.name} were trained on another split or other "
            "labels than folds.csv now has: give this run a name of its own with run=NAME, "
            "or train those folds again with overwrite=true"
        )
