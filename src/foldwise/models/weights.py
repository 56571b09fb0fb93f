"""model.weights=PATH: a file's weights put into a network, with a line that says what happened."""

import hashlib
import pickle
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from foldwise.config import Model
from foldwise.errors import FoldwiseError, first_few
from foldwise.files import shown
from foldwise.models.surgery import classifier_name, first_convs, resize_kernel

PREFIXES = ("module.", "_orig_mod.", "model.", "network.")  # of wrappers: DDP, torch.compile …
INSIDE = (  # where checkpoints keep their weights; an average of weights before the last ones
    *("state_dict_ema", "model_ema", "ema", "state_dict", "model_state_dict", "model", "network"),
)
# Of the weights before the last layer; with fewer the file is another network's: mobilenetv2's has
# 15 % of mobilenetv3_small, resnet18's half of resnet34.
ENOUGH = 0.25
DAMAGED = (
    *(RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    SafetensorError,
)


@dataclass
class Loaded:
    """What became of a file's tensors and of the network's."""

    path: Path
    tensors: int  # of the network
    loaded: int = 0  # of them
    share: float = 0.0  # of the weights before the last layer
    reshaped: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # of another shape
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)

    def line(self, names: int = 4) -> str:
        """One line for people, with up to that many names of each kind."""
        text = f"{shown(self.path)}: {self.loaded} of {self.tensors} tensors loaded"
        parts = [f"{text} ({self.share:.1%} of the weights before the last layer)"]
        for words, found in (
            ("reshaped", self.reshaped),
            ("skipped", self.skipped),
            ("not in the file", self.missing),
            ("not used of it", self.unused),
        ):
            parts += [f"{words}: {first_few(found, names)}"] if found else []
        return "; ".join(parts)


def check_digest(settings: Model) -> str:
    """The first 16 hex digits of the SHA-256 of model.weights: what a recipe's hash sees of it.

    Raises FoldwiseError where the file is not there, or not the one of model.weights_digest.
    """
    path = Path(settings.weights).expanduser()
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise _unreadable(path, error) from error
    if settings.weights_digest not in ("", found):
        raise FoldwiseError(
            f"model.weights={path} is not the file that the recipe means: its digest is {found}, "
            f"not model.weights_digest={settings.weights_digest}; name that file, or leave out the "
            "digest"
        )
    return found


def load_weights(network: nn.Module, path: Path, in_chans: int) -> Loaded:
    """Load what fits of the file into ``network``.

    A last layer of another number of classes keeps its random weights; a first convolution takes
    another number of channels and a smaller kernel. ``in_chans``: the channels of our images.
    Raises FoldwiseError for a file that cannot be read or that is another network's.
    """
    own = network.state_dict()
    found = _converted(network, {_plain(k, own): v for k, v in read_weights(path).items()})
    report = Loaded(path, len(own))
    state = _fitting(network, found, in_chans, report)
    last = f"{classifier_name(network)}."
    trunk = {n: p.numel() for n, p in network.named_parameters() if not n.startswith(last)}
    count = sum(size for name, size in trunk.items() if name in state)
    if count < ENOUGH * sum(trunk.values()):
        raise FoldwiseError(
            f"model.weights={shown(path)} is not of this network: only {count:,} of its "
            f"{sum(trunk.values()):,} weights before the last layer are in it; the network has "
            f"names such as {first_few(trunk, 2)}, the file {first_few(found, 2)}"
        )
    network.load_state_dict(state, strict=False)
    report.loaded, report.share = len(state), count / sum(trunk.values())
    return report


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file or of what torch.save wrote, however they are nested.

    Code in the file is never run. Raises FoldwiseError where there are no tensors to be had.
    """
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FoldwiseError(
            f"{shown(path)} is no file of weights, or holds more than weights: save its "
            "state_dict() alone, with torch.save or safetensors"
        ) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise FoldwiseError(
            f"{shown(path)} cannot be read as weights ({reason}): copy it again, or save it with "
            "torch.save or safetensors"
        ) from error
    while isinstance(content, dict) and (
        inside := next((k for k in INSIDE if isinstance(content.get(k), dict) and content[k]), None)
    ):
        content = content[inside]
    tensors = content.items() if isinstance(content, dict) else ()
    found = {str(name): value for name, value in tensors if isinstance(value, Tensor)}
    if not found:
        raise FoldwiseError(f"{shown(path)} holds no weights: save a state_dict()")
    return found


def _fitting(
    network: nn.Module, found: dict[str, Tensor], in_chans: int, report: Loaded
) -> dict[str, Tensor]:
    """What of ``found`` has a place in ``network``, in its shape; the rest is put down."""
    state, own = {}, network.state_dict()
    firsts = {f"{name}.weight" for name in first_convs(network)}
    for name, here in own.items():
        there = found.get(name)
        if there is None:
            report.missing.append(name)
        elif there.shape == here.shape:
            state[name] = there
        else:
            change = f"{name} ({_shape(there)}, here {_shape(here)})"
            changed = _first_conv(there, here, in_chans) if name in firsts else None
            if changed is not None:
                state[name] = changed
            (report.skipped if changed is None else report.reshaped).append(change)
    report.unused = [name for name in found if name not in own and not _counter(name)]
    report.missing = [name for name in report.missing if not _counter(name)]
    return state


def _first_conv(there: Tensor, here: Tensor, wanted: int) -> Tensor | None:
    """Weights (outputs, inputs, k, k) of the first convolution in the shape of ``here``, or None.

    Channels as timm does it: to gray their sum, otherwise repeated in turn and scaled, so that the
    sum over them stays. Behind space-to-depth each pixel of a square has its own.
    """
    if not there.ndim == here.ndim == 4 or len(there) != len(here):
        return None
    if there.shape[-1] != here.shape[-1]:
        if there.shape[-1] < here.shape[-1]:
            return None
        there = resize_kernel(there, here.shape[-1])
    if there.shape[1] != here.shape[1]:
        squares = here.shape[1] // wanted
        outputs, inputs, *kernel = there.shape
        had = inputs // squares
        if squares * had != inputs or squares * wanted != here.shape[1]:
            return None
        parts = there.float().reshape(outputs, squares, had, *kernel)
        if wanted == 1:
            parts = parts.sum(dim=2, keepdim=True)
        else:
            order = [channel % had for channel in range(wanted)]
            parts = parts[:, :, order] * (had / wanted)
        there = parts.reshape(here.shape)
    return there


def _plain(name: str, own: dict[str, Tensor]) -> str:
    """``name`` without the prefixes that wrappers put before it."""
    while name not in own and name.startswith(PREFIXES):
        name = name.split(".", 1)[1]
    return name


def _converted(network: nn.Module, found: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's own conversion, where the model has one: foreign names, positions of other sizes."""
    convert = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return found
    try:
        return {k: v for k, v in convert(dict(found), network).items() if isinstance(v, Tensor)}
    except (KeyError, RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        return found  # it expects a file of this network; whether it is one is judged by its names


def _counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _unreadable(path: Path, error: OSError) -> FoldwiseError:
    reason = error.strerror or "No such file"
    return FoldwiseError(f"model.weights={path} cannot be read ({reason}): name a file of weights")


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "1"
