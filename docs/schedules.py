"""The learning rates of all schedules as a picture, for docs/training.md.

.venv/bin/python docs/schedules.py writes docs/schedules.svg.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from foldwise.config import Schedule
from foldwise.training.schedule import Plateau, learning_rate, momentum

EPOCHS, STEPS, PEAK = 30, 10, 2e-3  # the defaults; 10 updates an epoch
RATE, OTHER = "#0072B2", "#D55E00"  # of Okabe and Ito: told apart by everyone
PANELS = {
    "cosine": Schedule(),
    "flat_cosine": Schedule(name="flat_cosine"),
    "onecycle": Schedule(name="onecycle"),
    "step": Schedule(name="step", decay_rate=0.3),
    "plateau": Schedule(name="plateau", decay_rate=0.3, patience=2),
    "constant": Schedule(name="constant"),
}
SAID = {
    "cosine": "",
    "flat_cosine": "flat=0.75",
    "onecycle": "pct_start=0.3",
    "step": "decay_epochs=10 decay_rate=0.3",
    "plateau": "patience=2 decay_rate=0.3",
    "constant": "",
}


def watched(epoch: int) -> float:
    """An accuracy that rises, stands still, and rises again after a reduction."""
    return 0.4 + 0.04 * min(epoch, 9) + 0.02 * max(0, min(epoch, 17) - 14)


def rates(wanted: Schedule) -> list[float]:
    """The rate of each update."""
    found, plateau, steps = [], Plateau(), EPOCHS * STEPS
    for step in range(steps):
        if step and step % STEPS == 0:
            plateau = plateau.after(watched(step // STEPS), wanted)
        found.append(learning_rate(step, steps, STEPS, PEAK, wanted, plateau.scale))
    return found


def draw(axes: Axes, name: str, wanted: Schedule) -> None:
    when = [step / STEPS for step in range(EPOCHS * STEPS)]
    axes.plot(when, rates(wanted), color=RATE, linewidth=2)
    axes.set_title(f"schedule.name={name}", fontsize=10, loc="left", pad=17)
    axes.text(0, 1.03, SAID[name], transform=axes.transAxes, fontsize=8.5, color="#444444")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set(xlim=(0, EPOCHS), ylim=(0, 1.05 * PEAK), xticks=range(0, EPOCHS + 1, 10))
    axes.set_yticks([0, 1e-3, 2e-3], ["0", "0.001", "0.002"])
    if name not in ("onecycle", "plateau"):
        return
    other = axes.twinx()
    if name == "onecycle":
        values = [momentum(n, EPOCHS * STEPS, wanted) for n in range(EPOCHS * STEPS)]
        other.plot(when, values, color=OTHER, linestyle="--")
        other.set_ylabel("momentum (dashed)", color=OTHER, fontsize=9)
        other.set(ylim=(0.80, 1.0), yticks=[0.85, 0.95])
    else:
        epochs = range(1, EPOCHS + 1)
        other.plot(epochs, [watched(epoch) for epoch in epochs], color=OTHER, linestyle="--")
        other.set_ylabel("what it watches (dashed)", color=OTHER, fontsize=9)
        other.set(ylim=(0.2, 0.85), yticks=[0.4, 0.6, 0.8])
    other.spines[["top", "left"]].set_visible(False)
    other.tick_params(colors=OTHER, labelsize=9)


def main() -> None:
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "foldwise", "font.size": 9})
    figure, grid = plt.subplots(2, 3, figsize=(10, 5.2), layout="constrained")
    for axes, (name, wanted) in zip(grid.flat, PANELS.items(), strict=True):
        draw(axes, name, wanted)
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("learning rate", fontsize=10)
    figure.savefig(Path(__file__).parent / "schedules.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
