import contextlib

import numpy as np
import pytest
import torch

from foldwise.config import Model
from foldwise.images.augment import Normalize
from foldwise.images.load import ResidentImages
from foldwise.models.build import build_model
from foldwise.prediction.predict import predict
from foldwise.prediction.tta import View, views_of

IMAGES = ResidentImages(torch.randint(0, 256, (50, 8, 8, 3), dtype=torch.uint8))


def softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(dim=1)


def look(rows: np.ndarray, batch_size: int) -> np.ndarray:
    torch.manual_seed(0)
    built = build_model(Model(name="convnet2", args={"widths": [8, 8]}), 4, 8)
    normalize = Normalize(built.mean, built.std, torch.device("cpu"), True)
    return predict(
        built.network, IMAGES, rows, batch_size, normalize, contextlib.nullcontext, softmax
    )


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
    predict(network, IMAGES, np.arange(3), 2, lambda x: x.float(), contextlib.nullcontext, softmax)
    assert network.training


@pytest.mark.parametrize("space", ["prob", "logit"])
def test_views_are_averaged(space: str) -> None:
    torch.manual_seed(0)
    built = build_model(Model(name="convnet2", args={"widths": [8, 8]}), 4, 8)
    normalize = Normalize(built.mean, built.std, torch.device("cpu"), True)
    views = list(views_of("d4", 8).values())

    def look(*chosen: View, size: int = 16) -> np.ndarray:
        return predict(
            built.network, IMAGES, np.arange(50), size, normalize, contextlib.nullcontext,
            softmax, chosen, space,
        )  # fmt: skip

    single = np.stack([look(view) for view in views])
    if space == "logit":
        logs = np.log(single).mean(0)
        expected = np.exp(logs) / np.exp(logs).sum(1, keepdims=True)
    else:
        expected = single.mean(0)
    np.testing.assert_allclose(look(*views), expected, atol=1e-5)
    np.testing.assert_allclose(look(*views, size=3), expected, atol=1e-5)  # one image at a time


def test_where_memory_does_not_hold_a_batch_fewer_images_are_taken() -> None:
    sizes: list[int] = []

    class Narrow(torch.nn.Linear):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            sizes.append(len(pixels))
            if len(pixels) > 6:
                raise RuntimeError("CUDA out of memory")
            return super().forward(pixels.flatten(1))

    def predicted(size: int) -> np.ndarray:
        torch.manual_seed(0)
        network, asis = Narrow(192, 3), torch.Tensor.float
        return predict(network, IMAGES, np.arange(50), size, asis, contextlib.nullcontext, softmax)

    np.testing.assert_allclose(predicted(20), predicted(5), atol=1e-6)
    assert sizes[:7] == [20, 10, 5, 5, 5, 5, 5] and max(sizes[1:]) == 10
    sizes.clear()
    views = [lambda images: images.repeat(7, 1, 1, 1)]
    with pytest.raises(RuntimeError, match="out of memory"):
        predict(
            Narrow(192, 3), IMAGES, np.arange(4), 4, torch.Tensor.float, contextlib.nullcontext,
            softmax, views,
        )  # fmt: skip
    assert sizes == [28, 14, 7]
