"""Images with what a fold's network looks at shining: Grad-CAM of a run's own rows."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch

from foldwise.containers import JOINED
from foldwise.errors import FoldwiseError
from foldwise.images.thumbs import thumb
from foldwise.models.outputs import outputs
from foldwise.prediction.fold_model import device_of, load_fold, look_of
from foldwise.prediction.gradcam import grad_cam
from foldwise.runs import Run

DIM = 0.45  # of the image's brightness that stays where nothing speaks for the class


def attention(run: Run, asked: Sequence[tuple[str, int, int]], side: int) -> list[np.ndarray]:
    """For each (file, fold, class) the image, uint8 RGB (height, width, 3), as that fold's network
    sees it for that class: bright where something speaks for it, dark elsewhere.

    In ordinal the class stands for the step to it, in a regression for one of the numbers.
    ``side``: pixels of the longer side at most. Raises FoldwiseError for networks that are missing,
    damaged or without maps, UnreadableImage.
    """
    config = run.config()
    device = device_of(config)
    look = look_of(config)
    width = outputs(config.loss.name, len(config.competition.classes))
    shown: dict[int, np.ndarray] = {}
    for fold in sorted({fold for _, fold, _ in asked}):
        here = [n for n, (_, own, _) in enumerate(asked) if own == fold]
        model, _ = load_fold(run, fold, device)
        batch = np.stack([look.decode(asked[n][0]) for n in here])
        pixels = model.pixels(torch.from_numpy(batch).to(device))
        # In ordinal there is an output for each step up: that to the class, to the first the first.
        steps = len(config.competition.classes) - width
        chosen = [max(asked[n][2] - steps, 0) for n in here]
        try:
            maps = grad_cam(model.network, pixels, torch.tensor(chosen, device=device))
        except ValueError as error:
            raise FoldwiseError(
                f"no Grad-CAM of model.name={config.model.name}: {error}"
            ) from error
        for n, heat in zip(here, maps, strict=True):
            shown[n] = lit(asked[n][0], heat, side, config.images.crop_pct)
    return [shown[n] for n in range(len(asked))]


def lit(file: str, heat: np.ndarray, side: int, share: float = 1.0) -> np.ndarray:
    """An image under a heat map from 0 to 1; images of one row stand beside each other.

    The map is of the middle ``share`` of each image's sides.
    """
    image = thumb(file, side)
    assert image is not None  # it has just been decoded
    small = max(image.shape[:2]) < side // 2
    if small:  # so that the map is seen on images of a few pixels, too
        factor = max(1, side // max(image.shape[:2]))
        image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = image.shape[:2]
    edges = np.linspace(0, width, len(file.split(JOINED)) + 1).astype(int)
    parts = [_light(heat, height, int(part), share) for part in np.diff(edges)]
    light = np.concatenate(parts, axis=1)[..., None]
    warm = image * (DIM + (1 - DIM) * light) + light * np.array([60, 25, 0])
    return np.rint(warm.clip(0, 255)).astype(np.uint8)


def _light(heat: np.ndarray, height: int, width: int, share: float) -> np.ndarray:
    """A map of the middle of an image, as large as the image: float32 (height, width)."""
    light = np.zeros((height, width), np.float32)
    tall, wide = max(1, round(share * height)), max(1, round(share * width))
    top, left = (height - tall) // 2, (width - wide) // 2
    seen = cv2.resize(heat, (wide, tall), interpolation=cv2.INTER_CUBIC)
    light[top : top + tall, left : left + wide] = seen.clip(0, 1)
    return light
