"""A kernel's source: a few cells that a person can read, and the archive of the code in one."""

import base64
import json
import textwrap
from dataclasses import dataclass

from foldwise.kaggle.package import Package

WIDTH = 100  # of the archive's lines

UNPACK = '''\
# foldwise, the code that trained this run here and there: one archive, unpacked beside the kernel.
import base64, hashlib, io, sys, tempfile, zipfile
from pathlib import Path

ARCHIVE = """
{archive}
"""
packed = base64.b85decode(ARCHIVE.replace("\\n", ""))
code = Path(tempfile.mkdtemp())
with zipfile.ZipFile(io.BytesIO(packed)) as archive:
    archive.extractall(code)
(code / "archive.sha256").write_text(hashlib.sha256(packed).hexdigest())
sys.path.insert(0, str(code))
'''


@dataclass(frozen=True)
class Cell:
    """kind: markdown, code, or hidden (code that opens folded up)."""

    kind: str
    text: str


def unpack_cell(package: Package) -> Cell:
    text = base64.b85encode(package.data).decode()
    lines = "\n".join(textwrap.wrap(text, WIDTH, break_on_hyphens=False))
    return Cell("hidden", UNPACK.format(archive=lines))


def notebook(cells: list[Cell]) -> str:
    """A notebook (nbformat 4.5) as text."""
    made = []
    for number, cell in enumerate(cells):
        entry: dict[str, object] = {
            "cell_type": "markdown" if cell.kind == "markdown" else "code",
            "id": f"cell-{number}",
            "metadata": {"_kg_hide-input": True, "jupyter": {"source_hidden": True}}
            if cell.kind == "hidden"
            else {},
            "source": cell.text.strip("\n").splitlines(keepends=True),
        }
        if cell.kind != "markdown":
            entry |= {"execution_count": None, "outputs": []}
        made.append(entry)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    language = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
    metadata = {"kernelspec": kernel, "language_info": language}
    whole = {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1) + "\n"


def script(cells: list[Cell]) -> str:
    """The same as a script: text becomes comments."""
    parts = []
    for cell in cells:
        text = cell.text.strip("\n")
        if cell.kind == "markdown":
            text = "\n".join(f"# {line}".rstrip() for line in text.splitlines())
        parts.append(text)
    return "\n\n".join(parts) + "\n"


def source_bytes(text: str, kind: str) -> int:
    """What counts against Kaggle's limit: of a notebook, its JSON as the client sends it."""
    if kind != "notebook":
        return len(text.encode())
    content = json.loads(text)
    for cell in content["cells"]:
        cell["source"] = "".join(cell["source"])
    return len(json.dumps(content))
