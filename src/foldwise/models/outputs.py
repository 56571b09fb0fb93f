"""What the last layer gives under each loss, and the predictions that it stands for."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

LOSS_OF_TASK = {
    "multiclass": "cross_entropy",
    "multilabel": "bce",
    "ordinal": "ordinal",
    "regression": "mse",
}
LOSSES_OF_TASK = {
    "multiclass": ("cross_entropy", "focal", "bce"),
    "multilabel": ("bce", "focal"),
    "ordinal": ("ordinal", "cross_entropy"),
    "regression": ("mse", "mae", "smooth_l1"),
}


def outputs(loss: str, classes: int) -> int:
    """The width of the last layer: in ordinal one for each step from a class to the next."""
    return classes - 1 if loss == "ordinal" else classes


def kind_of(loss: str, task: str) -> str:
    """What the last layer's outputs are: numbers, steps, sigmoids or a softmax."""
    if task == "regression":
        return "numbers"
    if loss == "ordinal":
        return "steps"
    return "sigmoids" if task == "multilabel" or loss == "bce" else "a softmax"


def keep_scale(network: nn.Module, mean: Tensor, std: Tensor) -> None:
    """Let a regression's network carry what its targets (m,) were standardised with.

    As buffers, they are in every checkpoint and in model.safetensors.
    """
    network.register_buffer("target_mean", mean.float())
    network.register_buffer("target_std", std.float())


def reader(loss: str, task: str, network: nn.Module) -> Callable[[Tensor], Tensor]:
    """What turns float32 logits (n, outputs) into predictions (n, classes).

    Probabilities, whose rows sum to 1 except in multilabel; numbers in a regression.
    """
    kind = kind_of(loss, task)
    if kind == "numbers":
        return lambda z: z * network.get_buffer("target_std") + network.get_buffer("target_mean")
    if kind == "steps":
        return _from_steps
    if kind == "sigmoids":
        return torch.sigmoid if task == "multilabel" else _shares
    return lambda logits: logits.softmax(dim=1)


def _shares(logits: Tensor) -> Tensor:
    """One sigmoid a class, as shares of a row: through the logarithm, where none is ever 0/0."""
    return nn.functional.logsigmoid(logits).softmax(dim=1)


def _from_steps(logits: Tensor) -> Tensor:
    """P(y > k) for each step k -> P(y = k); a step is never likelier than the one before it."""
    steps = list(logits.sigmoid().unbind(1))
    for step in range(1, len(steps)):  # (torch.cummin, which ONNX has no operator for)
        steps[step] = torch.minimum(steps[step], steps[step - 1])
    above = torch.stack(steps, dim=1)
    ends = torch.ones_like(above[:, :1]), torch.zeros_like(above[:, :1])
    return torch.cat([ends[0], above], dim=1) - torch.cat([above, ends[1]], dim=1)
