import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from foldwise.config import Model
from foldwise.images.augment import Normalize
from foldwise.images.load import ResidentImages
from foldwise.models.build import build_model
from foldwise.prediction.predict import predict
from helpers import CLONE

IMAGES = ResidentImages(torch.randint(0, 256, (50, 8, 8, 3), dtype=torch.uint8))


def look(rows: np.ndarray, batch_size: int) -> np.ndarray:
    torch.manual_seed(0)
    built = build_model(Model(name="convnet2", args={"widths": [8, 8]}), 4, 8)
    normalize = Normalize(built.mean, built.std, torch.device("cpu"), True)
    return predict(built.network, IMAGES, rows, batch_size, normalize, contextlib.nullcontext)


def test_rows_are_probabilities_in_the_order_asked_for() -> None:
    rows = np.random.default_rng(0).permutation(50)
    probs = look(rows, 16)
    assert (probs.dtype, probs.shape) == (np.float32, (50, 4))
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(probs, look(np.arange(50), 16)[rows], atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 7, 50, 1000])
def test_the_batch_size_changes_nothing(batch_size: int) -> None:
    rows = np.arange(50)
    np.testing.assert_allclose(look(rows, batch_size), look(rows, 16), atol=1e-6)


def test_no_rows_give_no_predictions_and_the_mode_is_kept() -> None:
    assert look(np.arange(0), 4).shape[0] == 0
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 2)).train()
    predict(network, IMAGES, np.arange(3), 2, lambda x: x.float(), contextlib.nullcontext)
    assert network.training


MEASURE = """
import contextlib, json, resource, sys
import cv2, numpy as np, torch
from foldwise.images.load import StreamedImages
from foldwise.images.augment import Normalize
from foldwise.config import Model
from foldwise.models.build import build_model
from foldwise.prediction.predict import predict

folder, count = sys.argv[1], int(sys.argv[2])
files = [f"{folder}/{n % 100}.png" for n in range(count)]
device = torch.device("cpu")
built = build_model(Model(name="convnet2"), 10, 32)
images = StreamedImages(files, 32, 3, device, 2)
normalize = Normalize(built.mean, built.std, device, True)
probs = predict(built.network, images, np.arange(count), 64, normalize, contextlib.nullcontext)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"peak": peak, "probs": probs.nbytes / 2**20}))
"""


def test_peak_memory_does_not_grow_with_the_test_set(tmp_path: Path) -> None:
    import cv2

    rng = np.random.default_rng(0)
    for n in range(100):
        cv2.imwrite(str(tmp_path / f"{n}.png"), rng.integers(0, 256, (32, 32, 3)).astype(np.uint8))
    peaks = {}
    for count in (1_000, 10_000):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(tmp_path), str(count)],
            cwd=CLONE / "src", capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks[count] = json.loads(done.stdout.splitlines()[-1])
    growth = peaks[10_000]["peak"] - peaks[1_000]["peak"]
    # 10,000 decoded images would be 29 MB; the rest is the allocator's own unevenness.
    assert growth - (peaks[10_000]["probs"] - peaks[1_000]["probs"]) < 15, peaks
