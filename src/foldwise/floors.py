"""Does this interpreter's environment meet the floors of a pyproject.toml?

    python floors.py pyproject.toml

Exits with 0 when it does, otherwise with 1 and one line for each floor that is not met. run.sh
asks any environment that is active, whose Python and packages may be of any age: so this file
uses the standard library alone, imports none of the packages and parses on old Pythons.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

# All of them install the same cv2, and an image may carry any of them.
OPENCV = (
    "opencv-python-headless",
    "opencv-python",
    "opencv-contrib-python-headless",
    "opencv-contrib-python",
)


def unmet(pyproject: Path) -> list[str]:
    """One line for each floor that this environment does not meet."""
    try:
        import tomllib
    except ImportError:  # before Python 3.11 there is nothing to read the floors with
        return [_line("python", "3.11", _python())]
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    lines = []
    for requirement in (f"python{project['requires-python']}", *project["dependencies"]):
        name, floor = parse(requirement)
        found = [_python()] if name == "python" else _installed(name)
        best = max(found, key=release, default=None)
        if best is None or release(best) < release(floor):
            lines.append(_line(name, floor, best))
    return lines


def parse(requirement: str) -> tuple[str, str]:
    """The name and the floor ("" without one): "kaggle>=2.2.4,<2.3" is ("kaggle", "2.2.4")."""
    name = re.match(r"[\w.-]+", requirement)
    floor = re.search(r">=\s*([\d.]+)", requirement)
    return name[0] if name else requirement, floor[1] if floor else ""


def release(version: str) -> tuple[int, ...]:
    """The comparable part of a version: "2.10.0+cu128" and "2.10" are both (2, 10)."""
    numbers = re.match(r"\d+(?:\.\d+)*", version)
    parts = [int(part) for part in numbers[0].split(".")] if numbers else []
    while parts and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _installed(name: str) -> list[str]:
    versions = []
    for candidate in OPENCV if name in OPENCV else (name,):
        try:
            version = metadata.version(candidate)
        except (metadata.PackageNotFoundError, KeyError):
            continue
        if version:  # a removal that was broken off leaves metadata without a version
            versions.append(version)
    return versions


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def _line(name: str, floor: str, found: str | None) -> str:
    return f"{name}{'>=' if floor else ''}{floor} wanted, {found or 'none'} found"


if __name__ == "__main__":
    failures = unmet(Path(sys.argv[1]))
    print("\n".join(failures), end="\n" if failures else "")
    sys.exit(1 if failures else 0)
