"""Training speed beside a plain PyTorch loop, side by side in one process.

    .venv/bin/python tests/benchmarks/bench_loop.py FOLDER [--images 10240] [--rounds 3]

FOLDER is a competition laid out under input/, for instance input/cifar10. Both loops train timm's
resnet18 for two epochs at 32 pixels, batch 256, with flips and crops shifted by up to 3 pixels.
The plain loop is what most notebooks have: a Dataset that reads and augments one image at a time,
a DataLoader with 2 workers, fp32, contiguous. Ours is the loop of `./run.sh`, decoding included.
They take turns; the ratios are those of neighbouring turns, so a machine that drifts does little.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

import cv2
import numpy as np
import timm
import torch
from torch.utils.data import DataLoader, Dataset

from foldwise.competition import layout
from foldwise.compose import compose
from foldwise.config import Config
from foldwise.device import automatic_precision, pick_device, prepare
from foldwise.images.decode import threads
from foldwise.images.load import open_images
from foldwise.images.pack import Look
from foldwise.training.fold import beginning
from foldwise.training.loop import epoch_steps, fit
from foldwise.training.material import Material

SIDE, BATCH, EPOCHS, SHIFT = 32, 256, 2, 3
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
RECIPE = [
    *("model.name=resnet18", f"images.size={SIDE}", f"train.batch_size={BATCH}"),
    *(f"train.epochs={EPOCHS}", "train.eval_every=0", "augment.hflip=0.5", "augment.shift=0.1"),
    *("loss.name=cross_entropy", "competition.task=multiclass", "model.in_chans=3"),
]


class Silent:
    """Stands where the progress bar is: a benchmark prints nothing while it measures."""

    def advance(self, images: int) -> None: ...
    def line(self, text: str) -> None: ...
    def due(self) -> bool:
        return False


def ours(files: list[str], labels: np.ndarray, precision: str, classes: int) -> float:
    """Seconds for EPOCHS epochs of foldwise's loop, decoding included."""
    config: Config = compose([*RECIPE, f"train.precision={precision}"])
    config.competition.classes = [str(n) for n in range(classes)]
    device = pick_device("auto")
    prepare(config.train, device)
    state, normalize = beginning(config, 0, epoch_steps(len(files), config), device)
    targets = torch.from_numpy(labels).to(device)
    began = time.perf_counter()
    images = open_images(files, Look(SIDE, 3), device, threads(0), config.images.resident_gb)
    material = Material(0, np.arange(len(files)), images, targets, normalize, device)
    fit(config, material, state, Silent(), lambda state, last: {}, lambda state: None)  # type: ignore
    return time.perf_counter() - began


class PlainDataset(Dataset):
    def __init__(self, files: list[str], labels: np.ndarray) -> None:
        self.files, self.labels = files, labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = cv2.cvtColor(cv2.imread(self.files[index]), cv2.COLOR_BGR2RGB)
        if torch.rand(()) < 0.5:
            image = image[:, ::-1]
        image = cv2.copyMakeBorder(image, SHIFT, SHIFT, SHIFT, SHIFT, cv2.BORDER_REPLICATE)
        y, x = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
        image = image[y : y + SIDE, x : x + SIDE]
        pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255
        pixels = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
        return pixels.contiguous(), int(self.labels[index])


def plain(files: list[str], labels: np.ndarray, classes: int) -> float:
    """Seconds for EPOCHS epochs of the plain loop, its workers' start included."""
    device = pick_device("auto")
    network = timm.create_model("resnet18", num_classes=classes).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2e-3, total_steps=EPOCHS * (len(files) // BATCH)
    )
    loader = DataLoader(
        PlainDataset(files, labels), BATCH, shuffle=True, num_workers=2, drop_last=True,
        pin_memory=device.type == "cuda", persistent_workers=True,
    )  # fmt: skip
    began = time.perf_counter()
    for _ in range(EPOCHS):
        total = 0.0
        for pixels, targets in loader:
            logits = network(pixels.to(device, non_blocking=True))
            loss = torch.nn.functional.cross_entropy(logits, targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", help="a competition under input/, or a path")
    parser.add_argument("--images", type=int, default=10_240)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data = layout.load(compose([f"competition={Path(options.folder).resolve()}"]))
    files = data.train["file"].tolist()[: options.images]
    position = {name: number for number, name in enumerate(data.classes)}
    labels = np.array(data.train["label"].map(position), np.int64)[: options.images]
    seen, classes = EPOCHS * (len(files) // BATCH) * BATCH, len(data.classes)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {pick_device('auto')}")
    precisions = tuple(dict.fromkeys((automatic_precision(pick_device("auto")), "fp32")))
    ratios: dict[str, list[float]] = {name: [] for name in precisions}
    for number in range(options.rounds):
        baseline = seen / plain(files, labels, classes)
        print(f"round {number + 1}: plain {baseline:,.0f} images/s", flush=True)
        for name in precisions:
            speed = seen / ours(files, labels, name, classes)
            ratios[name].append(speed / baseline)
            print(f"  foldwise {name} {speed:,.0f} images/s, {ratios[name][-1]:.2f} times")
    for name, values in ratios.items():
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"foldwise {name} / plain: {statistics.median(values):.2f} ({spread})")


if __name__ == "__main__":
    main()
