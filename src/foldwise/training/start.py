"""model.weights: a file, or a run whose model of each fold the same fold starts from.

Networks of foldwise say what their labels were, so that a fold is never scored with weights that
have learned from its rows.
"""

from dataclasses import replace
from pathlib import Path

from foldwise import compose
from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown
from foldwise.models.weights import check_digest
from foldwise.networks import read_network_provenance
from foldwise.provenance import Provenance
from foldwise.runs import Run


def check_start(config: Config, folds_hash: str, folds: list[int]) -> str:
    """16 hex digits that stand for model.weights: of the file, or of the run's recipe.

    Raises FoldwiseError and UsageError for what cannot be read or is not what
    model.weights_digest means, and, unless ``config.checks`` are off, for weights that have seen
    labels of one of the ``folds``, on the split of ``folds_hash``.
    """
    run = _run_of(config)
    found = _recipe(config, run, folds) if run else check_digest(config.model)
    if config.checks:
        seen = [k for k in folds if not holds_out(config, k, folds_hash)]
        if seen:
            raise FoldwiseError(
                f"model.weights={config.model.weights} has seen labels of the folds "
                f"{first_few(seen)}, so their scores would be worth nothing: {_advice(config, run)}"
            )
    return found


def fold_start(config: Config, fold: int) -> Config:
    """The config with the file that the fold starts from, where model.weights names a run."""
    run = _run_of(config)
    if run is None:
        return config
    return replace(config, model=replace(config.model, weights=str(run.model_file(fold))))


def holds_out(config: Config, fold: int, folds_hash: str) -> bool:
    """Whether model.weights have not seen the fold's labels.

    Files that foldwise did not write say nothing, and neither do those of other competitions: it
    is for the user to know that those images are none of this one's.
    """
    if not config.model.weights:
        return True
    origin = _origin(Path(fold_start(config, fold).model.weights).expanduser())
    if origin is None:
        return True
    if origin.folds_hash == folds_hash:
        return fold in origin.held_out
    return not _same_competition(config)


def _run_of(config: Config) -> Run | None:
    """The run that model.weights names; None for a file."""
    name = config.model.weights
    if not name or "/" in name or Path(name).is_file():
        return None
    run = Run(name)
    return run if run.config_file.is_file() else None


def _recipe(config: Config, run: Run, folds: list[int]) -> str:
    said = f"model.weights={run.name}"
    if run.name == config.run:
        raise UsageError(f"{said} is this run itself: weights come from another one")
    missing = [k for k in folds if not run.model_file(k).is_file()]
    if missing:
        raise FoldwiseError(
            f"{said} has no network of the folds {first_few(missing)}: train them first, or name "
            "another run (a blend has none)"
        )
    recipes = {run.model_provenance(k).recipe_hash[:16] for k in folds}
    if len(recipes) > 1:
        raise FoldwiseError(f"{said}: its folds have different recipes: train them again")
    found = recipes.pop()
    if config.model.weights_digest not in ("", found):
        raise FoldwiseError(
            f"{said} has the recipe {found}, not model.weights_digest="
            f"{config.model.weights_digest}: name the run that is meant, or leave out the digest"
        )
    return found


def _origin(path: Path) -> Provenance | None:
    """What a network of foldwise was made from; None of any other file."""
    if path.suffix != ".safetensors":
        return None
    try:
        return read_network_provenance(path)
    except FoldwiseError:
        return None  # whoever loads it says what is wrong


def _same_competition(config: Config) -> bool:
    """Whether the weights are of a run of this competition, as far as a config beside them says."""
    run = _run_of(config)
    path = Path(config.model.weights).expanduser().resolve()
    beside = run.config_file if run else path.parent.parent / "config.yaml"
    if not beside.is_file():
        return False
    theirs = compose.load_config(beside).competition.slug
    return Path(theirs).name == Path(config.competition.slug).name


def _advice(config: Config, run: Run | None) -> str:
    if run:
        return "take weights of a run that holds each of them out, on this split"
    path = Path(config.model.weights).expanduser().resolve()
    if (path.parent.parent / "config.yaml").is_file():
        name = path.parent.parent.name
        return f"model.weights={name} starts each fold from that run's model of the same fold"
    return f"{shown(path)} is a network of foldwise that has learned from them: take another"
