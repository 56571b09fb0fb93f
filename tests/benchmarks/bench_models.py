"""The tables of docs/models.md: speed, learning on CIFAR-10, accuracy on digits.

    .venv/bin/python tests/benchmarks/bench_models.py table                 images a second
    .venv/bin/python tests/benchmarks/bench_models.py learn FOLDER          FOLDER: input/cifar10
    .venv/bin/python tests/benchmarks/bench_models.py digits
    .venv/bin/python tests/benchmarks/bench_models.py page                  docs/models.md again

Each measurement is a row of docs/models/*.csv, written when it is there; what has a row is not
measured again (delete the row, or the file, to measure anew), so a broken-off command goes on.
--only NAME,NAME measures some of the models. `learn` gives each model the same minutes of one CPU
core (of the whole GPU): its speed is measured first, and the recipe (config=models) is then laid
over as many images as will fit; a slow model sees a random part of the fold once. Time of the
processor is counted, so two of them may run at once; `table` needs a machine that does nothing
else.
"""

import argparse
import functools
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import numpy as np
import torch
from figures import Figures, machine
from model_tables import FOLDER, LINEAR, write_page
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import Tensor, nn

from foldwise.competition import layout
from foldwise.competition.folds import frozen_folds
from foldwise.compose import compose
from foldwise.config import Config
from foldwise.device import autocast, automatic_precision, pick_device, prepare
from foldwise.files import read_json
from foldwise.images.decode import threads
from foldwise.images.load import Images, ResidentImages, open_images
from foldwise.models.base import untrained
from foldwise.models.listing import size_of
from foldwise.prediction.predict import predict
from foldwise.prediction.sources import decide_look
from foldwise.training.decide import decide
from foldwise.training.fold import beginning
from foldwise.training.loop import epoch_steps, fit
from foldwise.training.material import Material
from foldwise.training.step import train_step
from foldwise.training.train import train

SIDE, CLASSES, ROUNDS = 32, 10, 3
ROWS: dict[str, list[str]] = {
    LINEAR: ["model.name=linear_pixels"],
    "densenet7x7": [],
    "densenet7x7 width 0.5": ["model.name=densenet7x7", "model.args={width: 0.5}"],
    "small_resnet7x7": [],
    "dual_branch": [],
    "inception_fsd": [],
    "dilated_group": [],
    "convnet2": [],
    "convnet5": [],
    "resnet50": [],
    "resnet50 stem small": ["model.name=resnet50", "model.stem=small"],
    "resnet101": [],
    "resnet101 stem small": ["model.name=resnet101", "model.stem=small"],
    "resnext50_32x4d": [],
    "resnext50_32x4d stem small": ["model.name=resnext50_32x4d", "model.stem=small"],
    "se_resnet_small": [],
    "se_resnet_small_sd": [],
    "resnet18": [],
    "resnet18 head mlp": ["model.name=resnet18", "model.head=mlp"],
    "monkeynet": [],
    "monkeynet attention": ["model.name=monkeynet", "model.args={attention: true}"],
    "classification_cnn": [],
    "mobilenet": [],
    "mobilenet stem small": ["model.name=mobilenet", "model.stem=small"],
    "mobilenetv3_small_100": [],
}


class LinearPixels(nn.Module):
    """What every network has to beat: one linear layer on the pixels."""

    def __init__(
        self,
        num_classes: int = 10,
        in_chans: int = 3,
        img_size: int = SIDE,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        side = img_size if isinstance(img_size, int) else img_size[0]
        self.num_classes, self.fc = num_classes, nn.Linear(in_chans * side**2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


default_cfgs = generate_default_cfgs(
    {"linear_pixels.untrained": untrained("", fixed_input_size=True, classifier="fc")}
)


@register_model
def linear_pixels(pretrained: bool = False, **kwargs: Any) -> LinearPixels:
    return build_model_with_cfg(LinearPixels, "linear_pixels", pretrained, **kwargs)


class Silent:
    """Stands where the progress bar is: a benchmark prints nothing while it measures."""

    def advance(self, images: int) -> None: ...
    def line(self, text: str) -> None: ...
    def due(self) -> bool:
        return False


def words_of(label: str) -> list[str]:
    return ROWS[label] or [f"model.name={label}"]


def settled(words: list[str], device: str) -> Config:
    """The recipe with every automatic choice made, as `./run.sh` makes them."""
    config = compose(["config=models", "train.batch_size=64", f"train.device={device}", *words])
    config.competition.classes = [str(n) for n in range(CLASSES)]
    config.competition.task, config.loss.name = "multiclass", "cross_entropy"
    config.model.in_chans = 3
    return config


def training_speed(config: Config, images: Images, rows: np.ndarray, seconds: float) -> float:
    """Images a second of whole training steps (augmentation to EMA), after two to warm up."""
    device, size = pick_device(config.train.device), config.train.batch_size
    state, normalize = beginning(config, 0, 10**6, device)
    targets = torch.randint(CLASSES, (int(rows.max()) + 1,), device=device)
    material = Material(0, rows, images, targets, normalize, device)
    batch = next(iter(images.batches([rows[:size]])))
    for _ in range(2):
        train_step(config, material, state, rows[:size], batch)
    done, began = 0, clock(device)
    while done < 2 or clock(device) - began < seconds:
        train_step(config, material, state, rows[:size], batch)
        done += 1
    return done * len(batch) / (clock(device) - began)


def clock(device: torch.device) -> float:
    """Seconds: of the processor where one thread computes, otherwise of the wall."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif torch.get_num_threads() == 1:
        return time.process_time()
    return time.perf_counter()


def inference_speed(config: Config, images: Images, rows: np.ndarray, seconds: float) -> float:
    """Images a second of the one prediction path, batches of 256."""
    device = pick_device(config.train.device)
    state, normalize = beginning(config, 0, 1, device)
    look = functools.partial(
        predict, state.result(), images, batch_size=256, prepare=normalize,
        autocast=functools.partial(autocast, device, config.train.precision),
        read=lambda logits: logits.softmax(dim=1),
    )  # fmt: skip
    look(rows[:256])
    done, began = 0, clock(device)
    while not done or clock(device) - began < seconds:
        done += len(look(rows[: 512 if done else 256]))
    return done / (clock(device) - began)


def table(folder: Path, labels: list[str], device: str, seconds: float) -> None:
    """Rounds of all models in turn: the middle one of each is kept."""
    found, kind = Figures(folder / "speed.csv"), pick_device(device)
    where = machine(kind)
    labels = [label for label in labels if not found.have(machine=where, model=label)]
    pixels = torch.randint(256, (512, SIDE, SIDE, 3), dtype=torch.uint8, device=kind)
    images, rows = ResidentImages(pixels), np.arange(512)
    speeds: dict[str, list[tuple[float, float]]] = {label: [] for label in labels}
    for _ in range(ROUNDS):
        for label in labels:
            config = resolved(words_of(label), device)
            trained = training_speed(config, images, rows, seconds)
            speeds[label].append((trained, inference_speed(config, images, rows, seconds)))
            print(f"{label}: {speeds[label][-1]}", flush=True)
    for label in labels:
        config = resolved(words_of(label), device)
        size = size_of(config.model, SIDE, CLASSES)
        training, inference = (statistics.median(part) for part in zip(*speeds[label], strict=True))
        found.add(
            machine=where, precision=config.train.precision, model=label,
            parameters=size.parameters, multiply_adds=size.multiply_adds,
            training=round(training, 1), inference=round(inference, 1),
        )  # fmt: skip


def resolved(words: list[str], device: str) -> Config:
    config = settled(words, device)
    config.train.precision = automatic_precision(pick_device(device))
    prepare(config.train, pick_device(device))
    return config


def learn(
    folder: Path, labels: list[str], device: str, slug: Path, minutes: float, held: int
) -> None:
    """Fold 0 of the competition, the same minutes for every model."""
    found, kind = Figures(folder / "learning.csv"), pick_device(device)
    base = compose([f"competition={slug.resolve()}", "config=models", f"train.device={device}"])
    data = layout.load(base)
    split = frozen_folds(data, base, lambda: [])
    decide(base, data, split, kind)
    look, workers = decide_look(base, data), threads(base.images.workers)
    images = open_images(data.train["file"].tolist(), look, kind, workers, base.images.resident_gb)
    if kind.type == "cpu":  # a minute of one core is a minute, whatever the other one does
        torch.set_num_threads(1)
    targets = torch.from_numpy(data.targets.values).to(kind)
    rows = np.flatnonzero(split.fold != 0)
    held_rows = np.flatnonzero(split.fold == 0)[:held]
    for label in labels:
        if found.have(machine=machine(kind), model=label, minutes=minutes):
            continue
        config = compose(
            [f"competition={slug.resolve()}", "config=models", f"train.device={device}",
             *words_of(label)]
        )  # fmt: skip
        decide(config, data, split, kind)
        prepare(config.train, kind)
        speed = training_speed(config, images, rows, 2 * minutes)  # a thirtieth of the time
        budget = speed * 60 * minutes
        config.train.epochs = math.ceil(budget / len(rows))
        part = int(min(len(rows), max(config.train.batch_size, budget / config.train.epochs)))
        chosen = np.sort(np.random.default_rng(0).permutation(rows)[:part])
        state, normalize = beginning(config, 0, epoch_steps(len(chosen), config), kind)
        material = Material(0, chosen, images, targets, normalize, kind)
        config.train.eval_every = 0
        began = clock(kind)
        fit(config, material, state, Silent(), lambda state, last: {}, lambda state: None)  # type: ignore
        seconds = clock(kind) - began
        seen = config.train.epochs * len(state.losses) * min(config.train.batch_size, len(chosen))
        predictions = predict(
            state.result(), images, held_rows, 256, normalize,
            functools.partial(autocast, kind, config.train.precision), lambda z: z.softmax(dim=1),
        )  # fmt: skip
        right = predictions.argmax(axis=1) == data.targets.values[held_rows]
        found.add(
            machine=machine(kind), minutes=minutes, model=label,
            accuracy=round(float(right.mean()), 4), held_out=len(held_rows),
            epochs=round(seen / len(rows), 2), images_per_second=round(seen / seconds, 1),
            seconds=round(seconds, 1),
        )  # fmt: skip


def digits(folder: Path, labels: list[str], device: str, epochs: int) -> None:
    """Fold 0 of digits at its native 8 pixels, by the main job itself."""
    found = Figures(folder / "digits.csv")
    for label in labels:
        if found.have(model=label, epochs=epochs):
            continue
        with tempfile.TemporaryDirectory() as home:
            os.environ["FOLDWISE_HOME"] = home
            words = ["competition=digits", "fold=0", "run=digits", f"train.device={device}"]
            words += [f"train.epochs={epochs}", "train.batch_size=32", "model.drop_rate=0.1"]
            began = time.perf_counter()
            train(compose([*words, "optimizer.lr=3e-3", *words_of(label)]))
            score = read_json(Path(home) / "oof" / "digits" / "scores.json")["oof"]
        seconds = round(time.perf_counter() - began, 1)
        found.add(model=label, epochs=epochs, accuracy=round(score, 4), seconds=seconds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("what", choices=["table", "learn", "digits", "page"])
    parser.add_argument("folder", nargs="?", type=Path, help="learn: a competition under input/")
    parser.add_argument("--only", default="", help="models, by commas, as the tables name them")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--minutes", type=float, default=5.0, help="learn: of training, a model")
    parser.add_argument("--held", type=int, default=5_000, help="learn: held-out images to score")
    parser.add_argument("--seconds", type=float, default=3.0, help="table: of a measurement")
    parser.add_argument("--epochs", type=int, default=30, help="digits: of training")
    parser.add_argument("--figures", type=Path, default=FOLDER, help="folder of the CSV files")
    options = parser.parse_args()
    labels = options.only.split(",") if options.only else list(ROWS)
    for label in labels:
        if label not in ROWS:
            parser.error(f"--only {label} is none of {', '.join(ROWS)}")
    if options.what == "learn" and options.folder is None:
        parser.error("learn needs the folder of a competition, for instance input/cifar10")
    torch.manual_seed(0)
    kept, device = options.figures, options.device
    work: dict[str, Callable[[], None]] = {
        "table": lambda: table(kept, labels, device, options.seconds),
        "learn": lambda: learn(kept, labels, device, options.folder, options.minutes, options.held),
        "digits": lambda: digits(kept, labels, device, options.epochs),
        "page": lambda: None,
    }
    work[options.what]()
    if kept == FOLDER:
        write_page()


if __name__ == "__main__":
    main()
