"""`export`: a run's networks as ONNX."""

from foldwise.prediction.export import export
from foldwise.verbs.table import own_keys
from foldwise.verbs.words import epoch_of, flag


def run(words: list[str]) -> int:
    given = own_keys("export", words, required=("run",))
    fold, out, mean = given.get("fold", ""), given.get("out", ""), flag(given, "mean")
    export(given["run"], fold, out, mean, epoch_of(given))
    return 0
