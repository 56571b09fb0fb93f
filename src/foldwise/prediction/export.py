"""`./run.sh export`: a run's networks as ONNX files, and what an image goes through before them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from foldwise import compose
from foldwise.competition import layout
from foldwise.competition.metrics import thresholds
from foldwise.config import Config, Images
from foldwise.errors import FoldwiseError, UsageError, first_few
from foldwise.files import shown, write_bytes, write_json
from foldwise.images.decode import LITTLE, UnreadableImage
from foldwise.images.window import decode_side
from foldwise.prediction.files import look_of_files
from foldwise.prediction.fold_model import FoldModel, load_fold
from foldwise.prediction.graph import (
    INPUT,
    OUTPUT,
    TOLERANCE,
    largest_difference,
    onnx_bytes,
    refuse_without_onnx,
    whole_of,
)
from foldwise.recipe import recipe_hash
from foldwise.runs import Run

CHECKED = 8  # images on which ONNX is compared with torch
DECIDED = {
    "multiclass": "the class with the largest probability",
    "multilabel": "each class whose probability reaches its threshold",
    "ordinal": "the mean of the positions weighted by the probabilities, rounded half up",
    "regression": "the numbers as they are",
}


def export(name: str, folds: str, out: str, mean: bool, epoch: int = 0) -> None:
    """Write fold<k>.onnx of each fold (or mean.onnx) and preprocessing.json, and print the check.

    A graph predicts what torch does in float32 from one view; a file appears only where both agree
    on images of the competition to 1e-4. ``epoch``: of the weights that train.save_every kept then,
    in a folder of their own. Raises FoldwiseError, UsageError.
    """
    run = Run(name)
    config = run.config()
    if run.is_blend():
        members = [str(member["name"]) for member in run.blend(None)["members"]]
        raise UsageError(
            f"{name} is a blend, which has no network of its own: export its members "
            f"({first_few(members)})"
        )
    refuse_without_onnx()
    wanted = _wanted(run, folds, config.folds.k)
    own = run.export_folder / f"epoch{epoch:03d}" if epoch else run.export_folder
    folder = Path(out).expanduser() if out else own
    models = [load_fold(run, fold, torch.device("cpu"), epoch)[0] for fold in wanted]
    images, of = _images(config, models[0])
    graphs = {"mean": models} if mean else {}
    for fold, model in zip(wanted, models, strict=True):
        if not mean:
            graphs[f"fold{fold}"] = [model]
    differences = {}
    for title, parts in graphs.items():
        whole = whole_of(parts)
        data = onnx_bytes(whole, images[:2])
        found = largest_difference(whole, data, images)
        if not found <= TOLERANCE:
            raise FoldwiseError(
                f"{title}.onnx of {name} would differ from torch by {found:.2g}, more than "
                f"{TOLERANCE:g}: no file was written; another version of torch or onnxscript may "
                "do better"
            )
        differences[f"{title}.onnx"] = found
        write_bytes(folder / f"{title}.onnx", data)
        size = len(data) / 2**20
        print(
            f"{shown(folder / title)}.onnx: {size:,.1f} MB, within {found:.1g} of torch on {of}",
            flush=True,
        )
    said = described(run, config, models[0], differences) | ({"epoch": epoch} if epoch else {})
    write_json(folder / "preprocessing.json", said)
    print(f"{shown(folder / 'preprocessing.json')}: what an image goes through before")


def _wanted(run: Run, folds: str, k: int) -> list[int]:
    finished = [fold for fold in run.finished() if run.model_file(fold).is_file()]
    wanted = compose.parse_folds(folds, k) if folds else finished
    missing = [fold for fold in wanted if fold not in finished]
    if missing or not wanted:
        raise FoldwiseError(
            f"{run.name} has no network of fold {first_few(missing or ['0'])}: train it first, or "
            f"say fold= with one of {first_few(finished) or 'none'}"
        )
    return wanted


def _images(config: Config, model: FoldModel) -> tuple[Tensor, str]:
    """Normalised images to compare on, and what they are: the competition's, or noise."""
    look, names = look_of_files(config), list[str]()
    pixels: list[np.ndarray] = []
    try:
        config.images.missing = "drop"
        table = layout.load(config).train["file"].tolist()
        names = [table[n] for n in np.linspace(0, len(table) - 1, CHECKED).astype(int)]
    except FoldwiseError:
        pass  # the run alone may have been copied here
    for name in dict.fromkeys(names):
        try:
            pixels.append(look.decode(name))
        except UnreadableImage:
            continue
    of = f"{len(pixels)} images of the competition"
    if len(pixels) < 2:
        random, shape = np.random.default_rng(0), (CHECKED, look.size, look.size, look.channels)
        pixels = list(random.integers(0, 256, shape).astype(np.uint8))
        of = "noise (the competition's images are not here)"
    batch = torch.from_numpy(np.stack(pixels))
    return model.pixels(batch).contiguous(), of


def described(
    run: Run, config: Config, model: FoldModel, files: dict[str, float]
) -> dict[str, Any]:
    """What preprocessing.json says: all that is needed to use the graphs without foldwise."""
    look, settings = look_of_files(config), config.competition
    kind = "values" if settings.task == "regression" else "probabilities"
    return {
        "run": run.name,
        "recipe_hash": recipe_hash(config),
        "model": config.model.name,
        "files": {name: {"largest_difference_from_torch": d} for name, d in files.items()},
        "input": {
            "name": INPUT,
            "dtype": "float32",
            "layout": "NCHW",
            "shape": ["any", look.channels, config.images.size, config.images.size],
        },
        "output": {
            "name": OUTPUT,
            "dtype": "float32",
            "shape": ["any", len(settings.classes)],
            "is": kind,
        },
        "steps": [
            "decode; apply the EXIF orientation; leave transparency out; 16 bits become 8",
            "RGB, in this order" if look.channels == 3 else "gray (OpenCV's weights of RGB)",
            f"resize to {look.size} x {look.size}, whatever the sides were: OpenCV's INTER_AREA "
            f"where both sides shrink and one of them by more than {LITTLE}, else INTER_LINEAR "
            "(large JPEGs are decoded at a half, a quarter or an eighth first)",
            *([f"CLAHE of lightness, clip limit {look.clahe:g}, 8 x 8 tiles"] * bool(look.clahe)),
            *_cropping(config.images),
            "(pixel / 255 - mean) / std, by channel",
        ],
        "size": config.images.size,
        "channels": "RGB" if look.channels == 3 else "gray",
        **_normalisation(model),
        "task": settings.task,
        "classes": settings.classes,
        "decide": _decide(config),
        "thresholds": _thresholds(config),
        "views": {"in the graph": "one, the image as it is", "the run's own": config.tta.views},
    }


def _cropping(images: Images) -> list[str]:
    side, size = decode_side(images), images.size
    part = round(side * images.crop_pct)
    cut = [f"take the middle {part} x {part} pixels"] if part < side else []
    return cut + ([f"resize that to {size} x {size}, in the same way"] if part != size else [])


def _normalisation(model: FoldModel) -> dict[str, Sequence[float]]:
    std = 1 / (255 * model.normalize.scale.cpu().double())
    mean = -model.normalize.offset.cpu().double() * std
    return {
        "mean": [round(v, 6) for v in mean.tolist()],
        "std": [round(v, 6) for v in std.tolist()],
    }


def _decide(config: Config) -> str:
    settings = config.competition
    words = DECIDED[settings.task]
    if settings.task == "multilabel" and settings.unsure == "best":
        words += ", and where there is none the likeliest"
    two = settings.task == "multiclass" and len(settings.classes) == 2
    if two and _thresholds(config):
        words = f"{settings.classes[1]} where its probability reaches its threshold"
    return words


def _thresholds(config: Config) -> dict[str, float]:
    """Where they decide anything."""
    settings = config.competition
    if settings.task == "multilabel":
        return dict(zip(settings.classes, thresholds(settings).tolist(), strict=True))
    said = settings.threshold != 0.5 or settings.thresholds
    if settings.task == "multiclass" and len(settings.classes) == 2 and said:
        return {settings.classes[1]: float(thresholds(settings)[1])}
    return {}
