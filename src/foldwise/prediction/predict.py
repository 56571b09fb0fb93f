"""The one way from images to predictions."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np
import torch
from torch import Tensor, nn

from foldwise.images.load import Images


@torch.inference_mode()
def predict(
    network: nn.Module,
    images: Images,
    rows: np.ndarray,
    batch_size: int,
    prepare: Callable[[Tensor], Tensor],
    autocast: Callable[[], AbstractContextManager[None]],
    read: Callable[[Tensor], Tensor],
) -> np.ndarray:
    """Predictions, float32 (len(rows), classes), in the order of ``rows``.

    ``prepare``: uint8 batch on the device -> what the network takes; ``read``: its logits, float32
    -> predictions (see `models.outputs.reader`). The network is left in the
    mode that it came in. Beside the result, only a few batches are in memory.
    """
    training = network.training
    network.eval()
    parts = np.split(rows, range(batch_size, len(rows), batch_size)) if len(rows) else []
    out, start = None, 0
    for batch in images.batches(parts):
        with autocast():
            logits = network(prepare(batch))
        predictions = read(logits.float())
        if out is None:
            out = torch.empty((len(rows), predictions.shape[1]), device=predictions.device)
        out[start : start + len(batch)] = predictions
        start += len(batch)
    network.train(training)
    return np.empty((0, 0), np.float32) if out is None else out.cpu().numpy()
