"""`help`: the verbs, or one verb with its keys and settings."""

from foldwise import config
from foldwise.compose import flat, settings
from foldwise.verbs.comments import comments
from foldwise.verbs.table import VERBS, Verb, known_verb

USAGE = "./run.sh [verb] [key=value …]"


def run(words: list[str]) -> int:
    print(verb_help(words[0], VERBS[known_verb(words[0])]) if words else verbs_help())
    return 0


def verbs_help() -> str:
    width = max(map(len, VERBS))
    lines = [f"  {name:<{width}}  {verb.does}" for name, verb in VERBS.items()]
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


def _settings() -> list[str]:
    said = comments()
    defaults = flat(config.Config())
    rows = []
    for key, item in settings():
        if key.startswith("blend."):
            continue
        owner, _, name = key.rpartition(".")
        class_name = "Config" if not owner else owner.split(".")[-1].capitalize()
        choices = item.metadata.get("choices") or item.metadata.get("each_or")
        allowed = f" [{'|'.join(map(str, choices))}]" if choices else ""
        default = defaults[key]
        if default == item.metadata.get("auto", object()):
            default = "auto"
        rows.append((f"{key}={_text(default)}", said[class_name, name] + allowed))
    width = max(len(left) for left, _ in rows)
    return [f"  {left:<{width}}  {right}" for left, right in rows]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
