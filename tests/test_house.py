"""Who may know whom: no import runs upward, rooms of one floor do not know each other, no circles.

Imports inside functions count: they are lazy for speed, and go the same ways.
"""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

SRC = Path(__file__).resolve().parents[1] / "src" / "foldwise"
# What each room may import besides itself and the files below all rooms.
ROOMS: dict[str, set[str]] = {
    "competition": set(),
    "images": set(),
    "models": set(),
    "audit": {"competition", "images"},
    "prediction": {"competition", "images", "models"},
    "training": {"competition", "images", "models", "prediction", "audit"},
    "ensemble": {"competition"},
    "report": {"competition", "images"},
    "kaggle": {"competition"},
}
TORCH = {"models", "prediction", "training"}  # and of images, what augments and loads


def modules() -> dict[str, Path]:
    found = {}
    for path in SRC.rglob("*.py"):
        parts = ["foldwise", *path.relative_to(SRC).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> set[str]:
    """The names that a file imports, as modules and as things in modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{name.name}" for name in node.names} | {node.module}
    return found


def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: {n for n in imported(path) if n in known} - {name, "foldwise"}
            for name, path in known.items()}  # fmt: skip


def room(module: str) -> str:
    """The room of a module; '' of a file of the root."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and (SRC / parts[1]).is_dir() else ""


def test_no_circles() -> None:
    top = {name: used - {"foldwise"} for name, used in graph().items()}
    try:
        list(TopologicalSorter(top).static_order())
    except CycleError as error:
        raise AssertionError(f"a circle of imports: {error.args[1]}") from None


def test_rooms_know_only_what_they_stand_on() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, used in graph().items()
        for other in used
        if room(name) in ROOMS and room(other) not in {"", room(name), *ROOMS[room(name)]}
    ]
    assert not wrong


def test_what_rooms_use_of_the_root_knows_no_room_of_the_roof() -> None:
    """A file of the root that a room imports stands below all rooms, or beside those it knows."""
    edges = graph()
    below = {other for name, used in edges.items() if room(name) in ROOMS for other in used
             if len(other.split(".")) > 1 and room(other) == ""}  # fmt: skip
    wrong = [f"{name} imports {other}" for name in below for other in edges[name] if room(other)]
    assert not wrong


def test_rooms_without_torch() -> None:
    wrong = [
        name
        for name, path in modules().items()
        if room(name) in ROOMS.keys() - TORCH - {"images"}
        and any(used.split(".")[0] in ("torch", "timm", "torchvision") for used in imported(path))
    ]
    assert not wrong
