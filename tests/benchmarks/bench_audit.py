"""What the audit finds of what was planted, with its time.

    .venv/bin/python tests/benchmarks/bench_audit.py FOLDER [--planted 500] [--seed 0] [--keep DIR]

FOLDER is a competition laid out under input/, for instance input/cifar10. In a copy of it, copies
of N train images each are hidden, resized (0.5 to 2 times), recompressed (quality 30 to 90),
mirrored, shifted by 1 to 4 pixels with a black or a repeated border, exact, every second one in
the test part; N more, recompressed, in the train part with another label; and bytes behind the
end of each train file, so that its size tells the label. Recall is the share of the hidden copies
found beside their source. Precision is that among the found pairs with a hidden copy in them; a
copy's pairs with a natural duplicate of its source, or with another's copy, are counted apart, as
are all pairs without a hidden copy.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import cv2
import numpy as np
import pandas as pd

from foldwise.competition import layout
from foldwise.compose import compose

KINDS = ["resized", "recompressed", "mirrored", "shifted", "exact", "conflict"]
QUALITY = cv2.IMWRITE_JPEG_QUALITY


def changed(file: Path, kind: str, rng: np.random.Generator) -> tuple[bytes, str]:
    """The bytes and the ending of a copy of an image."""
    if kind == "exact":
        return file.read_bytes(), file.suffix
    image = cv2.imread(str(file))
    quality = 95
    if kind == "resized":
        factor = float(rng.uniform(0.5, 2))
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=way)
        quality = 90
    elif kind == "mirrored":
        image = image[:, ::-1]
    elif kind == "shifted":
        x, y = rng.integers(1, 5, 2) * rng.choice([-1, 1], 2)
        border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
        matrix = np.array([[1, 0, x], [0, 1, y]], float)
        image = cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=border)
    else:
        quality = int(rng.integers(30, 91))
    return cv2.imencode(".jpg", image, [QUALITY, quality])[1].tobytes(), ".jpg"


def plant(
    data: layout.CompetitionData, folder: Path, number: int, leak: bool, seed: int
) -> pd.DataFrame:
    """Writes the copy with what is hidden in it; returns columns id, source, kind, part."""
    rng = np.random.default_rng(seed)
    number = min(number, len(data.train))
    every = len(data.train)  # each kind has sources of its own where there are enough rows
    own = number * len(KINDS) <= every
    chosen = (
        rng.choice(every, number * len(KINDS), replace=False)
        if own
        else np.concatenate([rng.choice(every, number, replace=False) for _ in KINDS])
    )
    rows = data.train.iloc[chosen]
    deviation = np.std([Path(file).stat().st_size for file in data.train["file"]])
    labels = {"train": dict(zip(data.train["id"], data.train["label"], strict=True)), "test": {}}
    for part, table in (("train", data.train), ("test", data.test)):
        (folder / part).mkdir(parents=True)
        for name, file in zip(table["id"], table["file"], strict=True) if table is not None else ():
            content = Path(file).read_bytes()
            if part == "train" and leak:
                rank = data.classes.index(labels["train"][name])
                content += bytes(int(rank * deviation / 2))
            (folder / part / f"{name}{Path(file).suffix}").write_bytes(content)
            labels[part].setdefault(name, data.classes[0])
    hidden = []
    for n, row in enumerate(rows.itertuples()):
        kind = KINDS[n // number]
        part = "train" if kind == "conflict" or n % 2 else "test"
        content, ending = changed(Path(row.file), kind, rng)
        name, label = f"hidden{n:05d}", row.label
        if kind == "conflict":
            others = [c for c in data.classes if c != label]
            label = others[rng.integers(len(others))]
        (folder / part / f"{name}{ending}").write_bytes(content)
        labels[part][name] = label
        hidden.append((name, row.id, kind, part))
    for part, table in (("train", "train.csv"), ("test", "sample_submission.csv")):
        frame = pd.DataFrame({"id": list(labels[part]), "label": list(labels[part].values())})
        frame.to_csv(folder / table, index=False)
    return pd.DataFrame(hidden, columns=["id", "source", "kind", "part"])


def score(found: dict, hidden: pd.DataFrame) -> None:
    """Prints recall a kind, precision, and what else was found."""
    pairs = found["duplicates"]["pairs"]
    sources = {row.id: row.source for row in hidden.itertuples()}
    rows = [(p["a"]["id"], p["b"]["id"], p["labels_differ"]) for p in pairs]
    natural = [(a, b) for a, b, _ in rows if a not in sources and b not in sources]
    twins: dict[str, set[str]] = {}
    for a, b in natural:
        twins.setdefault(a, set()).add(b)
        twins.setdefault(b, set()).add(a)
    right, conflicts, by_nature, wrong = set(), set(), 0, []
    for a, b, differ in rows:
        if a not in sources and b not in sources:
            continue
        one, other = sources.get(a, a), sources.get(b, b)
        if one == other:
            hits = {a, b} & set(sources)
            right |= hits
            conflicts |= hits if differ else set()
        elif other in twins.get(one, ()):
            by_nature += 1
        else:
            wrong.append((a, b))
    print(f"\n{'kind':14}{'planted':>9}{'found':>7}{'recall':>8}")
    for kind, part in hidden.groupby("kind", sort=False):
        hits = part["id"].isin(right).sum()
        print(f"{kind:14}{len(part):9}{hits:7}{hits / len(part):8.3f}")
    said = hidden["id"][hidden["kind"] == "conflict"].isin(conflicts).mean()
    print(f"conflicts with both labels: {said:.3f}")
    print(f"precision of pairs with a hidden copy: {len(right) / (len(right) + len(wrong)):.4f} "
          f"({len(wrong)} wrong; {by_nature} more through natural duplicates)")  # fmt: skip
    print(f"pairs without a hidden copy: {len(natural)}")
    print("wrong:", wrong[:20])
    size = [leak for leak in found["leaks"]["found"] if leak["feature"] == "bytes"]
    print("leak by file size:", size[0] if size else "not found")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", help="a competition under input/, or a path")
    parser.add_argument("--planted", type=int, default=500, help="copies of each kind")
    parser.add_argument("--keep", help="where audit.json and audit.png of the copy go")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of what is planted")
    parser.add_argument("--no-leak", action="store_true", help="leave the file sizes alone")
    options = parser.parse_args()
    from foldwise.audit.audit import audit

    data = layout.load(compose([f"competition={Path(options.folder).resolve()}"]))
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "copy"
        hidden = plant(data, copy, options.planted, not options.no_leak, options.seed)
        planted = layout.load(compose([f"competition={copy}"]))
        out = Path(options.keep) if options.keep else Path(temporary) / "out"
        before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        audit(planted, out, options.workers)
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_SELF)
        found = json.loads((out / "audit.json").read_text())
    score(found, hidden)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    images = found["images"]["train"] + found["images"]["test"]
    print(f"{images:,} images in {wall:.1f} s, {cpu:.1f} s of CPU, {options.workers} workers, "
          f"at most {after.ru_maxrss / 2**20:.2f} GB")  # fmt: skip


if __name__ == "__main__":
    main()
