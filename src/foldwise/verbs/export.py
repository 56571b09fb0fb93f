"""`export`: a run's networks as ONNX."""

from foldwise.prediction.export import export
from foldwise.verbs.table import own_keys
from foldwise.verbs.words import flag


def run(words: list[str]) -> int:
    given = own_keys("export", words, required=("run",))
    export(given["run"], given.get("fold", ""), given.get("out", ""), flag(given, "mean"))
    return 0
