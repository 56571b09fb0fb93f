"""Images that share a file: the rows of pixel tables, arrays, pickles and parquet files.

Such an image has a name like a file's, ``PATH#MEMBER#ROW``. Whoever opens the file keeps what is
in it here, and `read` then gives the image of a name.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

JOINED = "\n"  # between the names of one row's images: no name has it
_NAME = re.compile(r"(?s)(.+)#([^#]*)#([0-9]+)")
_kept: dict[tuple[str, str], Sequence[Any]] = {}


def keep(path: Path, member: str, images: Any) -> list[str]:
    """The names of ``images``' rows: each uint8 (h, w) or (h, w, c), or an encoded file's bytes."""
    _kept[str(path), member] = images
    return [f"{path}#{member}#{row}" for row in range(len(images))]


def read(name: str) -> Any | None:
    """The kept image of a name; None for the name of a file."""
    match = _NAME.fullmatch(name) if name[-1:].isdigit() else None
    images = _kept.get((match[1], match[2])) if match else None
    return None if images is None or match is None else images[int(match[3])]


def files_of(name: str) -> list[Path]:
    """The files on disk behind the name of a row's image or images."""
    parts = name.split(JOINED)
    matches = [_NAME.fullmatch(part) if part[-1:].isdigit() else None for part in parts]
    return [Path(m[1] if m else part) for m, part in zip(matches, parts, strict=True)]
