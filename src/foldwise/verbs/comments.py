"""The comments of config.py, as texts for people: written once, read here."""

import re
from pathlib import Path

from foldwise import config

TAKEN = ("members", "recipe", "pool_digest")  # settings that are taken and never said


def own_settings(group: str, names: tuple[str, ...] = ()) -> dict[str, str]:
    """Settings of a group (the name of its class), as the keys of a verb that takes them bare."""
    said, items = comments(), getattr(config, group).__dataclass_fields__
    keys = {}
    for name in names or [n for n in items if n not in TAKEN]:
        choices = items[name].metadata.get("choices")
        allowed = f" [{'|'.join(map(str, choices))}]" if choices else ""
        keys[name] = said[group, name] + allowed
    return keys


def comments() -> dict[tuple[str, str], str]:
    """(class, setting) -> its comment."""
    found, current = {}, ""
    for line in Path(config.__file__).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"class (\w+)", line):
            current = match[1]
        elif match := re.match(r"    (\w+): [^#]*(?:#\s*(.*))?$", line):
            found[current, match[1]] = match[2] or ""
    return found
