"""Peak memory of the whole command does not grow with the test set beyond its probabilities."""

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from helpers import CLONE, write_competition

SIDE = 96
# A network whose activations are small: what the allocator does with them is no growth.
NETWORK = ("model.name=convnet2", "model.args={widths: [4, 4]}", "train.batch_size=16")
# RssAnon, looked at all the time: what is mapped from a pack is the disk's, and not held. (There is
# no high-water mark of it.)
MEASURE = """
import json, sys, threading, time
from pathlib import Path
from foldwise.cli import main

def look(seen):
    while True:
        status = Path("/proc/self/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("RssAnon"))
        seen.append(int(line.split()[1]))
        time.sleep(0.005)

seen = []
threading.Thread(target=look, args=(seen,), daemon=True).start()
code = main(sys.argv[1:])
print(json.dumps({"code": code, "peak": max(seen) / 1024}))
"""


def peak(home: Path, images: int, pack: str) -> float:
    """Megabytes at the peak of training one short fold and predicting ``images`` test images."""
    folder = write_competition(home / "input" / "pets", side=SIDE)
    (folder / "sample_submission.csv").unlink()
    for path in (folder / "test").iterdir():
        path.unlink()
    noise = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)
    first = folder / "test" / "0.png"
    cv2.imwrite(str(first), noise)
    for n in range(1, images):
        os.link(first, folder / "test" / f"{n}.png")
    words = ["competition=pets", "fold=0", "run=r", "train.epochs=1", f"images.size={SIDE}"]
    words += NETWORK
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *words, "images.resident_gb=0", f"images.pack={pack}"],
        env={**os.environ, "FOLDWISE_HOME": str(home), "PYTHONPATH": str(CLONE / "src")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    measured = json.loads(done.stdout.splitlines()[-1])
    assert measured["code"] == 0, done.stderr
    return float(measured["peak"])


@pytest.mark.parametrize("pack", ["auto", "off"])
def test_peak_memory_does_not_grow_with_the_test_set(tmp_path: Path, pack: str) -> None:
    few, many = peak(tmp_path / "few", 1_000, pack), peak(tmp_path / "many", 10_000, pack)
    held = 9_000 * SIDE * SIDE * 3 / 2**20  # 237 MB, were the images kept
    # Ids, paths and probabilities of 9,000 more rows are some MB.
    assert many - few < 0.2 * held, (few, many)
