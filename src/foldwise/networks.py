"""Networks on disk (.safetensors), each with the record of what it was made from."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from foldwise.errors import FoldwiseError
from foldwise.files import shown, write_bytes
from foldwise.provenance import Provenance


def write_network(path: Path, tensors: dict[str, Any], provenance: Provenance) -> None:
    """Write a torch state dict: equal tensors and provenance give equal bytes.

    One metadata key, since the format keeps no order among several.
    """
    from safetensors.torch import save

    # Copies: the format takes neither channels_last tensors nor two names for one memory.
    plain = {name: value.cpu().clone().contiguous() for name, value in tensors.items()}
    write_bytes(path, save(plain, metadata={"foldwise": provenance.to_json()}))


def read_network(path: Path) -> tuple[dict[str, Any], Provenance]:
    """The tensors, on the CPU, and their provenance. Raises FoldwiseError: missing or damaged."""
    from safetensors.torch import load_file

    with _readable(path):
        return load_file(path), read_network_provenance(path)


def read_network_provenance(path: Path) -> Provenance:
    """A network's provenance alone. Raises FoldwiseError: missing, damaged, or not of foldwise."""
    from safetensors import safe_open

    with _readable(path), safe_open(path, framework="np") as file:
        return Provenance(**json.loads(file.metadata()["foldwise"]))


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        reason = "no such file" if not path.is_file() else " ".join(str(error).split())[:200]
        raise FoldwiseError(
            f"{shown(path)} cannot be read as a network of foldwise ({reason}): restore it, or "
            "train that fold again (fold=K overwrite=true)"
        ) from error
