"""What happens to each image of a batch, drawn from the device's default generator."""

from dataclasses import dataclass

import torch
from torch import Tensor

from foldwise.config import Augment
from foldwise.images import colour, geometry


@dataclass(frozen=True)
class Draw:
    """What happens to each image of a batch: every tensor's first axis is the batch."""

    moves: geometry.Moves
    matrix: Tensor | None
    sigma: Tensor | None
    jitter: colour.Jitter
    cutout: colour.Holes | None
    erasing: colour.Holes | None
    noise: Tensor | None

    def exact(self) -> bool:
        """Whether pixels change places alone."""
        s, j = self, self.jitter
        changes = (s.matrix, s.sigma, s.cutout, s.erasing, s.noise, j.brightness, j.contrast)
        return all(part is None for part in (*changes, j.chroma))


def draw(settings: Augment, shape: torch.Size, on: torch.device) -> Draw:
    """For images of ``shape`` (batch, height, width, channels)."""
    batch, height, width, channels = shape
    return Draw(
        geometry.draw_moves(settings, batch, height, width, on),
        geometry.draw_matrix(settings, batch, height, width, on),
        colour.draw_sigma(settings, batch, on),
        colour.draw_jitter(settings, batch, channels, on),
        colour.draw_cutout(settings, batch, height, width, on),
        colour.draw_erasing(settings, batch, height, width, on),
        colour.draw_noise(settings, batch, on),
    )
