"""Words of the command line, as a person writes them."""

from collections.abc import Mapping
from pathlib import Path

from foldwise.errors import UsageError, nearest


def flag(given: Mapping[str, str], key: str) -> bool:
    """true or false; false where it is not said. Raises UsageError for anything else."""
    text = given.get(key, "false")
    if text not in ("true", "false"):
        raise UsageError(f"{key}={text} is not true or false")
    return text == "true"


def number(given: Mapping[str, str], key: str, default: float) -> float:
    """A number above 0. Raises UsageError for anything else."""
    text = given.get(key, str(default))
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{key}={text} is not a number above 0")
    return value


def epoch_of(given: Mapping[str, str]) -> int:
    """epoch=: 1 or more; 0 where it is not said. Raises UsageError for anything else."""
    text = given.get("epoch", "")
    if text and not (text.isdecimal() and int(text)):
        raise UsageError(f"epoch={text} is no epoch: 1 is the first")
    return int(text or 0)


def choice(given: Mapping[str, str], key: str, choices: tuple[str, ...]) -> str:
    """One of ``choices``, the first where it is not said. Raises UsageError for anything else."""
    text = given.get(key, choices[0])
    if text not in choices:
        raise UsageError(f"{key}={text} is not one of {', '.join(choices)}{nearest(text, choices)}")
    return text


def laid_out(words: list[str]) -> list[str]:
    """The words with ``competition=FILE.zip`` as the competition that the zip is laid out as.

    That is input/FILE/, which is made where it is not there.
    """
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
