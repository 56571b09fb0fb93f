"""What an optimizer, a limit on gradients and the rest cost in a step of training.

    .venv/bin/python tests/benchmarks/bench_update.py [--model resnet18] [--batch 64] [--rounds 5]

Every technique trains the same model on the same random images of 32 pixels with the loop of
`./run.sh`, a few steps at a time, taking turns with the default; the ratios are those of
neighbouring turns. With train.accumulate the mean over whole updates is taken.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import numpy as np
import torch
from figures import machine

from foldwise.compose import compose
from foldwise.device import automatic_precision, pick_device, prepare
from foldwise.images.load import ResidentImages
from foldwise.training.fold import beginning
from foldwise.training.groups import freeze
from foldwise.training.material import Material
from foldwise.training.step import train_step

SIDE, STEPS = 32, 4
TECHNIQUES = [
    *([f"optimizer.name={name}"] for name in ("sgd", "adoptw", "lion", "muon")),
    ["optimizer.layer_decay=0.7"],
    ["optimizer.head_lr=10"],
    ["optimizer.freeze_epochs=1"],
    ["train.accumulate=4"],
    ["optimizer.clip=0"],
    ["optimizer.clip_mode=value"],
    ["optimizer.clip_mode=agc", "optimizer.clip=0.01"],
    ["train.ema=0"],
    ["schedule.name=onecycle"],
]


class Trainer:
    """A network in training, a few steps at a time."""

    def __init__(self, words: list[str], device: torch.device) -> None:
        self.config = compose([*words, f"train.precision={automatic_precision(device)}"])
        prepare(self.config.train, device)
        size = self.config.train.batch_size
        self.state, normalize = beginning(self.config, 0, STEPS, device)
        if self.config.optimizer.freeze_epochs:
            freeze(self.state.network, self.state.optimizer, True)
        pixels = torch.randint(0, 256, (size, SIDE, SIDE, 3), dtype=torch.uint8, device=device)
        targets = torch.arange(size, device=device) % 10
        self.rows, self.pixels = np.arange(size), pixels
        self.material = Material(0, self.rows, ResidentImages(pixels), targets, normalize, device)

    def milliseconds(self) -> float:
        """Of a step, as the mean of STEPS."""
        self.state.step = 0
        began = time.perf_counter()
        for _ in range(STEPS):
            train_step(self.config, self.material, self.state, self.rows, self.pixels)
        self.state.losses.cpu()  # waits for a GPU
        return 1000 * (time.perf_counter() - began) / STEPS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    device = pick_device("auto")
    words = [
        *(f"model.name={options.model}", f"train.batch_size={options.batch}", "model.in_chans=3"),
        *(f"images.size={SIDE}", "competition.task=multiclass", "loss.name=cross_entropy"),
        "competition.classes=[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]",
    ]
    print(f"torch {torch.__version__}, {machine(device)}")
    default = Trainer(words, device)
    default.milliseconds()
    baseline = statistics.median(default.milliseconds() for _ in range(options.rounds))
    print(f"{options.model}, batch {options.batch}, the default: {baseline:.1f} ms a step")
    for technique in TECHNIQUES:
        other, ratios = Trainer([*words, *technique], device), []
        other.milliseconds()
        for _ in range(options.rounds):
            ratios.append(other.milliseconds() / default.milliseconds())
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{' '.join(technique)}: {statistics.median(ratios):.2f} ({spread})", flush=True)


if __name__ == "__main__":
    main()
