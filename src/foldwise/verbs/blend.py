"""`blend`: a run out of runs."""

import json

from foldwise import compose
from foldwise.ensemble.blend import blend
from foldwise.errors import UsageError
from foldwise.verbs.table import own_keys


def run(words: list[str]) -> int:
    given = own_keys("blend", words, required=("runs", "run"))
    for key in ("runs", "weights"):  # a,b,c stands for [a,b,c]; a pattern may have any sign
        if key in given and not given[key].startswith("["):
            items = [item.strip() for item in given[key].split(",") if item.strip()]
            given[key] = json.dumps(items) if key == "runs" else f"[{','.join(items)}]"
    try:
        json.loads(given.get("weights", "[]"))
    except ValueError as error:
        raise UsageError(
            f"weights={given['weights'].strip('[]')} are not numbers: say weights=2,1,1, one a run"
        ) from error
    general = ("run", "seed", "overwrite", "checks")
    pairs = [(k if k in general else f"blend.{k}", value) for k, value in given.items()]
    config = compose.compose([f"{key}={value}" for key, value in pairs])
    blend(config)
    return 0
