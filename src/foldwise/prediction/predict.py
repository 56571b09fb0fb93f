"""The one way from images to predictions."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from foldwise.errors import out_of_memory
from foldwise.images.load import Images
from foldwise.prediction.tta import SIMPLE, View


@torch.inference_mode()
def predict(
    network: nn.Module,
    images: Images,
    rows: np.ndarray,
    batch_size: int,
    prepare: Callable[[Tensor], Tensor],
    autocast: Callable[[], AbstractContextManager[None]],
    read: Callable[[Tensor], Tensor],
    views: Sequence[View] = (SIMPLE["plain"],),
    space: str = "prob",
    advance: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """Predictions, float32 (len(rows), classes), in the order of ``rows``.

    ``prepare``: uint8 batch on the device -> what the network takes; ``read``: its logits, float32
    -> predictions (see `models.outputs.reader`). ``views`` of each image (see `prediction.tta`) go
    through the network in one batch; their predictions are averaged, or with the ``space`` logit
    their logits. ``advance`` is called with the number of images just predicted. The network is
    left in the mode that it came in. Beside the result, only a few batches are in memory; where
    that does not hold one, fewer images are taken at a time from there on.
    """

    def look(some: Tensor) -> Tensor:
        seen = torch.cat([view(some) for view in views])
        with autocast():
            logits = network(prepare(seen)).float()
        return _mean(read, logits, len(views), space)

    training = network.training
    network.eval()
    size = max(1, batch_size // len(views))
    parts = np.split(rows, range(size, len(rows), size)) if len(rows) else []
    out, start = None, 0
    for batch in images.batches(parts):
        predictions, size = _by_parts(look, batch, size)
        if out is None:
            out = torch.empty((len(rows), predictions.shape[1]), device=predictions.device)
        out[start : start + len(batch)] = predictions
        start += len(batch)
        advance(len(batch))
    network.train(training)
    return np.empty((0, 0), np.float32) if out is None else out.cpu().numpy()


def _by_parts(look: Callable[[Tensor], Tensor], batch: Tensor, size: int) -> tuple[Tensor, int]:
    """What ``look`` says of a batch, ``size`` images at a time, and how many memory did hold."""
    found: list[Tensor] = []
    place = 0
    while place < len(batch):
        part = batch[place : place + size]
        try:
            found.append(look(part))
        except Exception as error:
            if not out_of_memory(error) or len(part) == 1:
                raise
            size = (len(part) + 1) // 2
            continue
        place += len(part)
    return found[0] if len(found) == 1 else torch.cat(found), size


def _mean(read: Callable[[Tensor], Tensor], logits: Tensor, views: int, space: str) -> Tensor:
    """Predictions (n, classes) from logits (views * n, outputs), one view after the other."""
    if space == "logit":
        return read(logits.unflatten(0, (views, -1)).mean(0))
    return read(logits).unflatten(0, (views, -1)).mean(0)
