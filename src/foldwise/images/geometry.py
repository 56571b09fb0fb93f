"""Where each pixel of an augmented image comes from: one gather, or one matrix and one sampling.

Everything is drawn for each image from the device's default generator; nothing waits for the
device. Lengths are in halves of the image's sides, so that an image reaches from -1 to 1.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from foldwise.config import Augment

PADDING = {"edge": "border", "reflect": "reflection", "black": "zeros"}  # grid_sample's words


@dataclass(frozen=True)
class Moves:
    """Whole pixels that change places; None stands for all images as they are."""

    rows: Tensor | None  # int64 (batch, height): the source row of each row
    columns: Tensor | None  # int64 (batch, width)
    turned: Tensor | None  # bool (batch,): rows and columns have changed places before; square


def draw_moves(settings: Augment, batch: int, height: int, width: int, on: torch.device) -> Moves:
    """Flips, quarter turns, shifts by whole pixels and lower resolutions: exact, and fast."""
    if warps(settings):  # the matrix does the rest
        settings = Augment(
            shift=0, downscale=settings.downscale, downscale_to=settings.downscale_to
        )
    still = _chosen(1 - settings.affine_prob, batch, on) if settings.affine_prob < 1 else None
    rows = _positions(batch, height, settings.shift, settings.vflip, still, settings.border, on)
    columns = _positions(batch, width, settings.shift, settings.hflip, still, settings.border, on)
    turned = None
    if settings.rotate90:  # a turn is a transposition and a flip of one axis or of the other
        kind = _kind_of_turn(settings, batch, on)
        rows = _flipped(rows, kind >= 2, height)  # 180 degrees: both axes, no transposition
        columns = _flipped(columns, (kind == 1) | (kind == 2), width)
        turned = (kind == 1) | (kind == 3)
    if settings.downscale:
        share = torch.where(
            _chosen(settings.downscale, batch, on),
            _uniform(settings.downscale_to, 1.0, batch, on),
            1.0,
        )
        rows = _coarser(rows, share, height)
        columns = _coarser(columns, share, width)
    return Moves(rows, columns, turned)


def _positions(
    batch: int, side: int, shift: float, flip: float, still: Tensor | None, border: str,
    on: torch.device,
) -> Tensor | None:  # fmt: skip
    """Source positions (batch, side) along one axis, or None where every image stays as it is."""
    reach = int(shift * side)  # whole pixels: a share of less than one moves nothing
    if not reach and not flip:
        return None
    positions = torch.arange(side, device=on).expand(batch, -1)
    if reach:
        offset = torch.randint(-reach, reach + 1, (batch, 1), device=on)
        positions = positions + (offset if still is None else offset * ~still[:, None])
        if border == "edge":
            positions = positions.clamp(0, side - 1)
        elif border == "reflect":
            positions = torch.where(positions < 0, -1 - positions, positions)
            positions = torch.where(positions >= side, 2 * side - 1 - positions, positions)
    if flip:
        chosen = _chosen(flip, batch, on)[:, None]
        positions = torch.where(chosen, positions.flip(1), positions)
    return positions


def _flipped(positions: Tensor | None, chosen: Tensor, side: int) -> Tensor:
    if positions is None:
        positions = torch.arange(side, device=chosen.device).expand(len(chosen), -1)
    return torch.where(chosen[:, None], positions.flip(1), positions)


def _coarser(positions: Tensor | None, share: Tensor, side: int) -> Tensor:
    """Source positions of an image that was made ``share`` (batch,) as large, and enlarged again.

    Both by the nearest pixel; ``share`` 1 changes nothing.
    """
    if positions is None:
        positions = torch.arange(side, device=share.device).expand(len(share), -1)
    coarse = (share * side).round().clamp_(min=1)[:, None]  # the small image's side
    small = ((positions + 0.5) * coarse / side).floor()
    inside = (positions >= 0) & (positions < side)  # what lies outside stays there
    return torch.where(inside, ((small + 0.5) * side / coarse).floor().long(), positions)


def move(images: Tensor, moves: Moves, border: str) -> Tensor:
    """uint8 (batch, height, width, channels) with its pixels in their new places."""
    if moves.rows is None and moves.columns is None:
        return images
    batch, height, width, channels = images.shape
    which = torch.arange(batch, device=images.device)[:, None]
    down, along = sources(moves, images.shape, images.device)
    if moves.columns is None:
        whole = images.reshape(batch * height, width * channels)
        result = whole.index_select(0, (which * height + down).flatten()).view(images.shape)
    else:
        if moves.turned is None:
            down = down * width
        else:  # in a transposed image the next row is the next pixel
            turned = moves.turned[:, None]
            down, along = (
                down * torch.where(turned, 1, width),
                along * torch.where(turned, width, 1),
            )
        down = down + which * (height * width)
        if images.numel() < 2**31:
            down, along = down.int(), along.int()
        places = down[:, :, None] + along[:, None, :]
        pixels = images.reshape(-1, channels).index_select(0, places.flatten())
        result = pixels.view(images.shape)
    return blackened(result, moves) if border == "black" else result


def sources(moves: Moves, shape: torch.Size, on: torch.device) -> tuple[Tensor, Tensor]:
    """The source rows (batch, height) and columns (batch, width); those outside at the border."""
    batch, *sides = shape[:3]
    found = [
        torch.arange(side, device=on).expand(batch, -1) if part is None else part.clamp(0, side - 1)
        for part, side in zip((moves.rows, moves.columns), sides, strict=True)
    ]
    return found[0], found[1]


def blackened(images: Tensor, moves: Moves) -> Tensor:
    """``images``, changed in place: what came from outside is black."""
    batch, height, width, _ = images.shape
    for positions, shape in (
        (moves.rows, (batch, height, 1, 1)),
        (moves.columns, (batch, 1, width, 1)),
    ):
        if positions is not None:
            side = positions.shape[1]
            images.masked_fill_(((positions < 0) | (positions >= side)).view(shape), 0)
    return images


def warps(settings: Augment) -> bool:
    """Whether something asked for needs pixels between pixels."""
    s = settings
    return bool(s.rotate or s.scale or s.scales or s.shear or s.perspective or s.crop < 1)


def draw_matrix(
    settings: Augment, batch: int, height: int, width: int, on: torch.device
) -> Tensor | None:
    """float32 (batch, 3, 3): from a pixel's place in the result to its place in the image.

    Its order of events: flips, quarter turn, zoom, shear, rotation and shift, perspective, crop.
    None where nothing needs pixels between pixels.
    """
    if not warps(settings):
        return None
    moved = _affine(settings, batch, height / width, on)
    if settings.rotate90:
        moved = _turn(_kind_of_turn(settings, batch, on) * (math.pi / 2), height / width) @ moved
    if settings.hflip or settings.vflip:
        moved = (
            _diagonal(_sign(settings.hflip, batch, on), _sign(settings.vflip, batch, on)) @ moved
        )
    if settings.perspective:
        moved = moved @ _perspective(settings, batch, on)
    if settings.crop < 1:
        moved = moved @ _crop(settings, batch, on)
    return moved


def warp(pixels: Tensor, matrix: Tensor, settings: Augment) -> Tensor:
    """float32 (batch, channels, height, width), sampled bilinearly at the places of ``matrix``."""
    height, width = pixels.shape[2:]
    x = (2 * torch.arange(width, device=pixels.device) + 1) / width - 1
    y = (2 * torch.arange(height, device=pixels.device) + 1) / height - 1
    grid = pixels.new_empty(len(pixels), height, width, 2)
    for axis in (0, 1):
        torch.add(*_sides(matrix, axis, x, y), out=grid[..., axis])
    if settings.perspective:
        across, down = _sides(matrix, 2, x, y)
        grid /= (across + down)[..., None]
    padding = PADDING[settings.border]
    return functional.grid_sample(pixels, grid, padding_mode=padding, align_corners=False)


def _sides(matrix: Tensor, row: int, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """What the columns (batch, 1, width) and the rows (batch, height, 1) add to a coordinate."""
    across = matrix[:, row, 0, None] * x
    down = matrix[:, row, 1, None] * y + matrix[:, row, 2, None]
    return across[:, None, :], down[:, :, None]


def _affine(settings: Augment, batch: int, tall: float, on: torch.device) -> Tensor:
    """Zoom, shear, rotation and shift, undone; ``tall``: height over width."""
    still = _chosen(1 - settings.affine_prob, batch, on) if settings.affine_prob < 1 else None

    def drawn(reach: float, rest: float = 0.0) -> Tensor:
        values = _uniform(rest - reach, rest + reach, batch, on)
        return values if still is None else torch.where(still, rest, values)

    zoom = drawn(settings.scale, 1.0)
    if settings.scales:
        which = torch.randint(len(settings.scales), (batch,), device=on)
        zoom = zoom * torch.tensor(settings.scales).to(on, non_blocking=True)[which]
    lean_x, lean_y = (drawn(math.radians(settings.shear)).tan() for _ in range(2))
    one, zero = torch.ones_like(zoom), torch.zeros_like(zoom)
    shear = _matrix([[one / zoom, lean_x * tall, zero], [lean_y / tall, one / zoom, zero]])
    turn = _turn(drawn(math.radians(settings.rotate)), tall)
    shift = _matrix(
        [[one, zero, drawn(2 * settings.shift)], [zero, one, drawn(2 * settings.shift)]]
    )
    return shear @ turn @ shift


def _turn(angle: Tensor, tall: float) -> Tensor:
    """Rotations by ``angle`` (batch,), in pixels: sides of different length keep right angles."""
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return _matrix([[cos, -sin * tall, zero], [sin / tall, cos, zero]])


def _diagonal(x: Tensor, y: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    return _matrix([[x, zero, zero], [zero, y, zero]])


def _perspective(settings: Augment, batch: int, on: torch.device) -> Tensor:
    """The plane tilted about its two axes: a side that comes nearer is seen larger."""
    reach, tilt = settings.perspective, torch.zeros(batch, 3, 3, device=on)
    chosen = _chosen(settings.perspective_prob, batch, on)[:, None]
    tilt[:, 2, :2] = (2 * torch.rand(batch, 2, device=on) - 1) * (reach * chosen)
    return tilt + torch.eye(3, device=on)


def draw_crop(settings: Augment, batch: int, on: torch.device) -> Tensor:
    """A part of random area and shape anywhere in the image, as of a random resized crop.

    float32 (4, batch): its width and height, and how far its centre lies to the right of and below
    the image's. (Szegedy et al., "Going Deeper with Convolutions", 2015.) A side that would be
    longer than the image's is as long.
    """
    area, ratio = _uniform(settings.crop, 1.0, batch, on), math.log(settings.crop_ratio)
    longer = _uniform(-ratio / 2, ratio / 2, batch, on).exp()
    x, y = (area.sqrt() * longer).clamp(max=1), (area.sqrt() / longer).clamp(max=1)
    room = torch.stack([1 - x, 1 - y], dim=1)
    places = (2 * torch.rand(batch, 2, device=on) - 1) * room
    return torch.stack([x, y, *places.unbind(1)])


def _crop(settings: Augment, batch: int, on: torch.device) -> Tensor:
    x, y, right, down = draw_crop(settings, batch, on)
    crop = _diagonal(x, y)
    crop[:, 0, 2], crop[:, 1, 2] = right, down
    return crop


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    """(batch, 3, 3) from two rows of (batch,); the third is 0, 0, 1."""
    zero = torch.zeros_like(rows[0][0])
    flat = [*rows[0], *rows[1], zero, zero, torch.ones_like(zero)]
    return torch.stack(flat, dim=1).view(-1, 3, 3)


def _kind_of_turn(settings: Augment, batch: int, on: torch.device) -> Tensor:
    """int64 (batch,): quarters of a turn, 0 where the image stays."""
    return torch.randint(1, 4, (batch,), device=on) * _chosen(settings.rotate90, batch, on)


def _sign(flip: float, batch: int, on: torch.device) -> Tensor:
    """-1 for the images that flip, 1 for the others."""
    return 1 - 2 * _chosen(flip, batch, on).float()


def _chosen(probability: float, batch: int, on: torch.device) -> Tensor:
    return torch.rand(batch, device=on) < probability


def _uniform(low: float, high: float, batch: int, on: torch.device) -> Tensor:
    return low + (high - low) * torch.rand(batch, device=on)
