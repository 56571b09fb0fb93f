"""`help`: the verbs, or one verb with its keys and settings."""

import dataclasses
from typing import Any

from foldwise import config
from foldwise.compose import compose, flat, settings
from foldwise.verbs.comments import comments
from foldwise.verbs.table import VERBS, known_verb

USAGE = "./run.sh [verb] [key=value …]"


def run(words: list[str]) -> int:
    print(verb_help(known_verb(words[0]), words[1:]) if words else verbs_help())
    return 0


def verbs_help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.does}" for name, verb in VERBS.items()]
    examples = [
        "  ./run.sh                                all folds of the embedded competition, digits",
        "  ./run.sh fold=0..4 competition=cifar10 config=resnet18",
        "  ./run.sh help train config=resnet18     every setting, with the values of that recipe",
    ]
    head = [USAGE, "", "verbs (train when left out):"]
    return "\n".join([*head, *lines, "", "examples:", *examples])


def verb_help(name: str, words: list[str]) -> str:
    """What the verb does, and its keys; of a verb with settings, what ``words`` would make them."""
    verb = VERBS[name]
    key_values = " [key=value …]" if verb.keys or verb.config else ""
    lines = [f"./run.sh {name}{key_values}: {verb.does}", ""]
    lines += [f"  {key:<12} {text}" for key, text in verb.keys.items()]
    if verb.config:
        made = compose([word for word in words if "=" in word])  # not the action of `images pack`
        head = f"every setting, its value with config={made.config}, and what it means"
        lines += [f"{head} (its default where the recipe has another):", *_settings(made)]
    return "\n".join(lines).rstrip()


def _settings(made: config.Config) -> list[str]:
    said, values, defaults = comments(), flat(made), flat(config.Config())
    rows = []
    for key, item in settings():
        if key.startswith("blend."):
            continue
        owner, _, name = key.rpartition(".")
        class_name = "Config" if not owner else owner.split(".")[-1].capitalize()
        choices = item.metadata.get("choices") or item.metadata.get("each_or")
        allowed = f" [{'|'.join(map(str, choices))}]" if choices else ""
        value, default = values[key], defaults[key]
        other = value != default and key not in ("config", "run")
        own = f" (default: {_text(default, item)})" if other else ""
        rows.append((f"{key}={_text(value, item)}", said[class_name, name] + allowed + own))
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]


def _text(value: object, item: dataclasses.Field[Any]) -> str:
    if value == item.metadata.get("auto", object()):
        return "auto"
    return str(value).lower() if isinstance(value, bool) else str(value)
