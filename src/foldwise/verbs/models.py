"""`models`: names, parameters and multiply-adds."""

from foldwise.models.listing import listing
from foldwise.verbs.table import own_keys


def run(words: list[str]) -> int:
    given = own_keys("models", words)
    for line in listing(given.get("match", ""), given.get("size", "32")):
        print(line, flush=True)
    return 0
