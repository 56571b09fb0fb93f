"""`./run.sh help`: the verbs, and the settings with their comments from config.py."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foldwise import config
from foldwise.compose import flat, settings

USAGE = "./run.sh [verb] [key=value …]"
TAKEN = ("members", "recipe", "pool_digest")  # settings that are taken and never said


@dataclass(frozen=True)
class Verb:
    """A word of the command line. ``keys`` are its own; with ``config`` it takes every setting."""

    does: str
    run: Callable[[list[str]], int]
    keys: dict[str, str] = field(default_factory=dict)
    config: bool = False


def verbs_help(verbs: Mapping[str, Verb]) -> str:
    width = max(map(len, verbs))
    lines = [f"  {name:<{width}}  {verb.does}" for name, verb in verbs.items()]
    examples = [
        "  ./run.sh                                all folds of the embedded competition, digits",
        "  ./run.sh fold=0..4 competition=cifar10 config=resnet18",
        "  ./run.sh help train                     every setting",
    ]
    head = [USAGE, "", "verbs (train when left out):"]
    return "\n".join([*head, *lines, "", "examples:", *examples])


def verb_help(name: str, verb: Verb) -> str:
    words = " [key=value …]" if verb.keys or verb.config else ""
    lines = [f"./run.sh {name}{words}: {verb.does}", ""]
    lines += [f"  {key:<12} {text}" for key, text in verb.keys.items()]
    if verb.config:
        lines += ["every setting, its default and what it means:", *_settings()]
    return "\n".join(lines).rstrip()


def own_settings(group: str, names: tuple[str, ...] = ()) -> dict[str, str]:
    """Settings of a group (the name of its class), as the keys of a verb that takes them bare."""
    comments, items = _comments(), getattr(config, group).__dataclass_fields__
    keys = {}
    for name in names or [n for n in items if n not in TAKEN]:
        choices = items[name].metadata.get("choices")
        allowed = f" [{'|'.join(map(str, choices))}]" if choices else ""
        keys[name] = comments[group, name] + allowed
    return keys


def _settings() -> list[str]:
    comments = _comments()
    defaults = flat(config.Config())
    rows = []
    for key, item in settings():
        if key.startswith("blend."):
            continue
        owner, _, name = key.rpartition(".")
        class_name = "Config" if not owner else owner.split(".")[-1].capitalize()
        choices = item.metadata.get("choices") or item.metadata.get("each_or")
        allowed = f" [{'|'.join(map(str, choices))}]" if choices else ""
        rows.append((f"{key}={_text(defaults[key])}", comments[class_name, name] + allowed))
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _comments() -> dict[tuple[str, str], str]:
    """(class, setting) -> its comment in config.py: written once, read here."""
    found, current = {}, ""
    for line in Path(config.__file__).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"class (\w+)", line):
            current = match[1]
        elif match := re.match(r"    (\w+): [^#]*(?:#\s*(.*))?$", line):
            found[current, match[1]] = match[2] or ""
    return found
