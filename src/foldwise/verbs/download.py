"""`download`: a competition's files, into input/."""

from pathlib import Path

from foldwise.files import shown
from foldwise.kaggle.download import download, download_from_kaggle
from foldwise.verbs.table import own_keys


def run(words: list[str]) -> int:
    given = own_keys("download", words, required=("competition",))
    if given.get("from"):
        folder = download(given["competition"], Path(given["from"]).expanduser())
    else:
        folder = download_from_kaggle(given["competition"])
    print(f"{shown(folder)} is ready: ./run.sh competition={given['competition']}")
    return 0
