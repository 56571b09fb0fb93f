"""What classes and rows weigh in the loss."""

import numpy as np

from foldwise.competition.foldfiles import digest
from foldwise.competition.layout import CompetitionData
from foldwise.config import Config
from foldwise.errors import FoldwiseError, UsageError, first_few, nearest


def class_counts(values: np.ndarray, classes: int) -> np.ndarray:
    """int64 (classes,): rows of each class, of targets as in `competition.targets`."""
    if values.ndim == 2:
        return values.sum(axis=0, dtype=np.int64)
    return np.bincount(values, minlength=classes)


def class_weights(config: Config, values: np.ndarray) -> np.ndarray | None:
    """float32 (classes,): the weights of loss.class_weights; None where there are none.

    ``values``: the targets of the training rows. With n_c rows of class c, inverse is 1 / n_c and
    effective (1 - b) / (1 - b^n_c), b = loss.effective_beta (Cui et al., "Class-Balanced Loss Based
    on Effective Number of Samples", 2019), both scaled to a mean of 1, so that they sum to the
    number of classes; a class without rows has 1. By hand, a class that is not named has 1.
    """
    wanted, names = config.loss.class_weights, config.competition.classes
    if wanted == "none":
        return None
    if isinstance(wanted, dict):
        return np.array([wanted.get(name, 1.0) for name in names], np.float32)
    counts = class_counts(values, len(names))
    there, weights = counts > 0, np.ones(len(names))
    if wanted == "inverse":
        raw = 1 / counts[there]
    else:
        raw = 1 / (1 - config.loss.effective_beta ** counts[there].astype(np.float64))
    weights[there] = raw / raw.mean()
    return weights.astype(np.float32)


def check_class_weights(config: Config) -> None:
    """Raises UsageError for classes that are not there, and for a task that has no classes."""
    wanted, names = config.loss.class_weights, config.competition.classes
    if wanted == "none":
        return
    if config.competition.task == "regression":
        raise UsageError("loss.class_weights: a regression has no classes; leave it out")
    unknown = [name for name in wanted if name not in names] if isinstance(wanted, dict) else []
    if unknown:
        raise UsageError(
            f"loss.class_weights: there is no class '{unknown[0]}'{nearest(unknown[0], names)}; "
            f"the classes are {first_few(names, 20)}"
        )


def row_weights(config: Config, data: CompetitionData, rows: np.ndarray) -> np.ndarray | None:
    """float32 (n,): data.weights of all train rows, with a mean of 1 over the training ``rows``.

    None where there are none. Raises FoldwiseError where the training rows weigh nothing.
    """
    if not config.data.weights:
        return None
    weights = data.train["weight"].to_numpy(np.float64)
    mean = weights[rows].mean()
    if not mean:
        raise FoldwiseError(
            f"data.weights={config.data.weights} is 0 in all {len(rows)} training rows: give some "
            "of them a weight"
        )
    return (weights / mean).astype(np.float32)


def check_weights_digest(config: Config, data: CompetitionData) -> str:
    """16 hex digits that stand for each row's weight: what a recipe's hash sees of data.weights.

    Raises UsageError where they are not those of data.weights_digest.
    """
    found = digest(sorted(zip(data.train["id"], data.train["weight"], strict=True)))[:16]
    if config.data.weights_digest not in ("", found):
        raise UsageError(
            f"data.weights={config.data.weights} holds other weights than the recipe means: their "
            f"digest is {found}, not data.weights_digest={config.data.weights_digest}; restore "
            "the column, or leave out the digest"
        )
    return found
