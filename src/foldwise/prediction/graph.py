"""Networks as an ONNX graph: images of any number in, predictions out."""

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn

from foldwise.errors import FoldwiseError, pip_install
from foldwise.models.onepixel import plain_convolutions
from foldwise.models.outputs import reader
from foldwise.prediction.fold_model import FoldModel

WANTED = ("onnx", "onnxscript", "onnxruntime")
INPUT, OUTPUT = "images", "predictions"
TOLERANCE = 1e-4  # the largest difference from torch, of a regression as a share of its spread


def refuse_without_onnx() -> None:
    """Raises FoldwiseError, with the command that installs what is missing."""
    missing = [name for name in WANTED if find_spec(name) is None]
    if missing:
        raise FoldwiseError(
            f"export needs {' and '.join(missing)}, which this environment lacks: "
            + pip_install(*missing)
        )


class Whole(nn.Module):
    """The networks of some folds with their last step: the mean of what each predicts."""

    def __init__(self, models: Sequence[FoldModel]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(model.network for model in models)
        self.reads = [
            reader(m.config.loss.name, m.config.competition.task, m.network) for m in models
        ]

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (n, channels, size, size), float32 -> predictions (n, classes)."""
        pairs = zip(self.networks, self.reads, strict=True)
        parts = [read(network(images).float()) for network, read in pairs]
        return parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)


def whole_of(models: Sequence[FoldModel]) -> Whole:
    """As a graph wants it: on the CPU, in float32, of plain layers. It shares the networks."""
    whole = Whole(models).cpu().float().eval().requires_grad_(False)
    whole.to(memory_format=torch.contiguous_format)
    plain_convolutions(whole)
    return whole


def onnx_bytes(whole: Whole, example: Tensor) -> bytes:
    """The graph, for any number of images. Raises FoldwiseError where it cannot be written."""
    said = io.StringIO()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(said):
            warnings.simplefilter("ignore")
            traced = _traced(whole, example)
            pooling = {torch.ops.aten.adaptive_max_pool2d.default: _grid_maximum}
            program = torch.onnx.export(
                traced.run_decompositions(pooling),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamo=True,
                verbose=False,
            )
    except Exception as error:  # the exporter's own, of many kinds
        reason = " ".join(str(error).split())[:200]
        raise FoldwiseError(
            f"torch cannot write this network as ONNX ({type(error).__name__}: {reason}): another "
            "version of torch or onnxscript may"
        ) from error
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def _traced(whole: Whole, example: Tensor) -> torch.export.ExportedProgram:
    """For any number of images; reading the code itself helps where running it does not."""
    batch = ({0: torch.export.Dim.DYNAMIC},)
    try:
        return torch.export.export(whole, (example,), dynamic_shapes=batch)
    except Exception:
        return torch.export.export(whole, (example,), dynamic_shapes=batch, strict=True)


def _grid_maximum(maps: Tensor, grid: Sequence[int]) -> tuple[Tensor, Tensor]:
    """torch's adaptive_max_pool2d, which ONNX has no operator for: first by rows, then by columns.

    Where the maxima were is not asked for: the second tensor only has their shape.
    """
    for axis, count in zip((-2, -1), grid, strict=True):
        side = maps.shape[axis]
        windows = [(n * side // count, -(-(n + 1) * side // count)) for n in range(count)]
        parts = [maps.narrow(axis, start, stop - start) for start, stop in windows]
        maps = torch.stack([part.amax(axis) for part in parts], axis)
    return maps, torch.zeros_like(maps, dtype=torch.int64)


def largest_difference(whole: Whole, data: bytes, images: Tensor) -> float:
    """Between torch and ONNX Runtime, over one image and over all of them.

    Of probabilities; in a regression as a share of the targets' standard deviation, or of the
    number itself where that is more.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    worst = 0.0
    with torch.inference_mode():
        for part in (images[:1], images):
            wanted = whole(part).numpy()
            (found,) = session.run([OUTPUT], {INPUT: np.ascontiguousarray(part.numpy())})
            if found.shape != wanted.shape:
                return float("inf")
            spread = _spread(whole, wanted)
            worst = max(worst, float(np.max(np.abs(found - wanted) / spread)))
    return worst


def _spread(whole: Whole, wanted: np.ndarray) -> np.ndarray:
    buffers = dict(whole.networks[0].named_buffers())
    if "target_std" not in buffers:
        return np.ones_like(wanted)
    return np.maximum(np.abs(wanted), buffers["target_std"].numpy())
