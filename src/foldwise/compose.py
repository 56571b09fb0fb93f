"""Recipe + command line -> Config."""

import copy
import dataclasses
import math
import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from foldwise.config import ALIASES, PRESETS, Config
from foldwise.errors import FoldwiseError, UsageError, nearest
from foldwise.files import shown

RECIPES = Path(__file__).resolve().parents[1] / "configs"

# Groups of settings that mean nothing to a blend.
TRAINING = (
    *("data", "augment", "model", "loss", "distill", "pseudo", "optimizer"),
    *("schedule", "train", "tta"),
)

# What a value of these types is called where it is none.
KINDS: dict[Any, str] = {
    list[float]: "a list of numbers: [0.5, 1]",
    list[str]: "a list of names: [a, b]",
    dict[str, float]: "a number for each of some names: {name: 0.5}",
}


@cache
def settings() -> tuple[tuple[str, dataclasses.Field[Any]], ...]:
    """Every dotted key of the config with its field; groups are walked into, not listed."""
    return tuple(_settings_of(Config, ""))


def _settings_of(cls: type, prefix: str) -> Iterator[tuple[str, dataclasses.Field[Any]]]:
    for item in dataclasses.fields(cls):
        if dataclasses.is_dataclass(item.type):
            yield from _settings_of(item.type, f"{prefix}{item.name}.")  # type: ignore[arg-type]
        else:
            yield prefix + item.name, item


def split_word(word: str) -> tuple[str, str]:
    """``key=value`` -> (key, value). Raises UsageError for anything else."""
    key, equals, value = word.partition("=")
    if not equals or not key:
        raise UsageError(f"'{word}' is not key=value; ./run.sh help lists verbs and keys")
    return key, value


def compose(words: list[str]) -> Config:
    """The config of a command: defaults, then the recipe, then the command line's key=value words.

    Raises UsageError for an unknown recipe, key or choice, a wrong type or a number out of range.
    """
    overrides = dict(split_word(word) for word in words)  # the last one of a key counts
    overrides = {ALIASES.get(key, key): value for key, value in overrides.items()}
    merged = copy.deepcopy(_schema())
    path = recipe_path(overrides.get("config", "default"))
    tree = _read_recipe(path)
    _merge(merged, tree, f"{shown(path)}: ")
    fields = dict(settings())
    for key, text in overrides.items():
        owner = _check_key(key, fields, "")
        # A setting of text type takes the text as it stands: run=007 and run=1e5 stay text.
        plain = owner == key and fields[key].type is str
        value = text.replace("${", "\\${") if plain else _parse(key, text, fields[owner])
        _update(merged, key, value, "")
    config = _to_config(merged)
    _check_values(config)
    said = {
        f"{name}.{key}" for name, group in tree.items() if isinstance(group, dict) for key in group
    }
    said |= {*tree, *overrides}
    _fill_preset(config, said)
    # The hours of the command line outdo the epochs of a recipe: as many as fit.
    words_of_it = overrides if "train.hours" in overrides else said
    if config.train.hours and "train.epochs" not in words_of_it:
        config.train.epochs = 0
    _name_run(config, path)
    return config


def recipe_path(name: str) -> Path:
    """src/configs/NAME.yaml, or NAME itself where it is a path to a .yaml file."""
    path = Path(name).expanduser() if name.endswith((".yaml", ".yml")) else RECIPES / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in RECIPES.glob("*.yaml"))
        raise UsageError(
            f"there is no recipe '{name}' (config={name}); "
            f"the recipes are {', '.join(known)}{nearest(name, known)}"
        )
    return path


@cache  # to copy it is five times as fast as to make it
def _schema() -> Any:
    from omegaconf import OmegaConf

    return OmegaConf.structured(Config)


def load_config(path: Path) -> Config:
    """A run's config.yaml as a Config. Raises FoldwiseError where it is damaged or of no use."""
    merged = copy.deepcopy(_schema())
    try:
        tree = _read_recipe(path)
        _merge(merged, tree, "")
        known = tree.get("competition")
        if not isinstance(known, dict) or "task" not in known:
            raise UsageError("there is no competition.task in it, so it is empty or cut off")
        return _to_config(merged)
    except UsageError as error:
        raise FoldwiseError(
            f"{shown(path)}: {error}; restore it, or give the run another name"
        ) from error


def to_yaml(config: Config) -> str:
    """The whole config as YAML; ``fold``, ``overwrite`` and ``checks`` belong to a call.

    Of a blend without the settings of training, of what is trained without those of a blend.
    """
    from omegaconf import OmegaConf

    tree = dataclasses.asdict(config)
    del tree["fold"], tree["overwrite"], tree["checks"]
    for group in TRAINING if config.blend.runs else ("blend",):
        del tree[group]
    return OmegaConf.to_yaml(OmegaConf.create(tree))


def flat(config: Config) -> dict[str, Any]:
    """Every dotted key with its value."""
    return {key: _value(config, key) for key, _ in settings()}


def set_value(config: Config, key: str, value: Any) -> None:
    """Set a dotted key."""
    *groups, name = key.split(".")
    owner: Any = config
    for group in groups:
        owner = getattr(owner, group)
    setattr(owner, name, value)


def parse_folds(text: str, k: int) -> list[int]:
    """``0..4``, ``0,2``, ``3`` or ``all`` -> sorted fold numbers.

    Raises UsageError when it is none of these or names a fold that is not in 0..k-1.
    """
    if text == "all":
        return list(range(k))
    folds: set[int] = set()
    for part in text.strip("[]").split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:\.\.\s*(\d+))?\s*", part)
        if not match:
            raise UsageError(f"fold={text} is not a list of folds; write 0..4, 0,2, 3 or all")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise UsageError(f"fold={text}: a range goes upwards, {last}..{first}")
        if last >= k:
            raise UsageError(f"fold={text} is out of range: the folds are 0..{k - 1}")
        folds.update(range(first, last + 1))
    return sorted(folds)


def _read_recipe(path: Path) -> dict[str, Any]:
    from omegaconf import OmegaConf

    try:
        text = _with_text(path.read_text(encoding="utf-8"))
        tree = OmegaConf.to_container(OmegaConf.create(text))
    except Exception as error:  # YAML's errors share no base class with OmegaConf's or the OS's
        raise UsageError(f"{shown(path)} is not readable YAML ({_line(error)})") from error
    if not isinstance(tree, dict):
        raise UsageError(f"{shown(path)} is not a list of settings")
    return {str(key): value for key, value in tree.items()}


def _with_text(text: str) -> str:
    """A recipe's YAML with quotes around what is text, however it looks: [no, 0001], {16: 0.3}.

    That is the words of a list[str], and the names in a dict.
    """
    import yaml

    fields = dict(settings())

    def walk(node: yaml.Node, key: str) -> None:
        setting = fields.get(key)
        names = [name for name, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        if setting is None:
            for name, value in node.value if names else []:
                walk(value, f"{key}.{name.value}".lstrip("."))
            return
        if setting.type == list[str] and isinstance(node, yaml.SequenceNode):
            names = node.value
        for name in names:
            if isinstance(name, yaml.ScalarNode) and name.tag != "tag:yaml.org,2002:merge":
                name.tag, name.style = "tag:yaml.org,2002:str", "'"

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # that in C, where there is one
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    root = yaml.compose(text, loader)
    if root is None:
        return text
    walk(root, "")
    return str(yaml.serialize(root, Dumper=dumper, allow_unicode=True))


def _to_config(merged: Any) -> Config:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        config = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:  # an interpolation that leads nowhere
        raise UsageError(_line(error)) from error
    assert isinstance(config, Config)
    return config


def _merge(merged: Any, tree: dict[str, Any], where: str) -> None:
    fields = dict(settings())

    def walk(node: dict[str, Any], prefix: str) -> None:
        for name, value in node.items():
            key = f"{prefix}{name}"
            key = ALIASES.get(key, key) if not isinstance(value, dict) else key
            group = any(known.startswith(f"{key}.") for known in fields)
            if group and isinstance(value, dict):
                walk(value, f"{key}.")
            else:
                _check_key(key, fields, where)
                _update(merged, key, value, where)

    walk(tree, "")


def _check_key(key: str, fields: dict[str, Any], where: str) -> str:
    """The setting that ``key`` belongs to: itself, or the dict above it (model.args.width)."""
    parts = key.split(".")
    for end in range(len(parts), 0, -1):
        owner = ".".join(parts[:end])
        if owner in fields and (end == len(parts) or fields[owner].type == dict[str, Any]):
            return owner
    if any(known.startswith(f"{key}.") for known in fields):
        raise UsageError(f"{where}'{key}' is a group of settings; name one, as in {key}.…=…")
    raise UsageError(f"{where}there is no setting '{key}'{nearest(key, [*fields, *ALIASES])}")


def _parse(key: str, text: str, setting: dataclasses.Field[Any]) -> Any:
    from omegaconf import OmegaConf

    try:
        text = _with_text(f"{key}: {text}")
        return OmegaConf.to_container(OmegaConf.create(text)).get(key)  # type: ignore
    except Exception as error:
        raise UsageError(f"{key}={text} cannot be read ({_line(error)})") from error


def _update(merged: Any, key: str, value: Any, where: str) -> None:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    setting = dict(settings()).get(key)
    if setting is not None and value == "auto" and setting.metadata.get("auto") is not None:
        value = setting.metadata["auto"]
    try:
        OmegaConf.update(merged, key, value, merge=False, force_add=True)
    except OmegaConfBaseException as error:
        wanted = getattr(setting, "type", "")
        kind = KINDS.get(wanted) or f"of type {getattr(wanted, '__name__', wanted)}"
        raise UsageError(f"{where}{key}={value} is not {kind}") from error


def _check_values(config: Config) -> None:
    for key, item in settings():
        value, rule = _value(config, key), item.metadata
        choices = rule.get("choices")
        if choices and value not in choices:
            words = [str(choice) for choice in choices]
            hint = nearest(str(value), words)
            raise UsageError(f"{key}={value} is not one of {', '.join(words)}{hint}")
        if "each_or" in rule:
            set_value(config, key, _each_or(key, value, rule["each_or"]))
        low, high = rule.get("range", (None, None))
        if low is not None and value != rule["auto"] and not low <= value <= high:
            bounds = f"from {low} to {high}" if high != float("inf") else f"at least {low}"
            word = "" if rule["auto"] is None else ", or auto"
            raise UsageError(f"{key}={value} is out of range: it must be {bounds}{word}")


def _each_or(key: str, value: Any, words: tuple[str, ...]) -> Any:
    """One of the words, or {name: number}: names as text, numbers as float."""
    if isinstance(value, dict) and value:
        numbers = {}
        for name, number in value.items():
            try:
                numbers[str(name)] = float(number)
            except (TypeError, ValueError):
                numbers[str(name)] = math.nan
            if isinstance(number, bool) or not 0 < numbers[str(name)] < math.inf:
                raise UsageError(f"{key}: {name} has {number}: it must be a number above 0")
        return numbers
    if value not in words:
        hint = nearest(str(value), words)
        raise UsageError(
            f"{key}={value} is not one of {', '.join(words)}, nor a number for each of some "
            f"names: {{name: 5}}{hint}"
        )
    return value


def _fill_preset(config: Config, given: set[str]) -> None:
    """`augment.preset` in the settings that neither the recipe nor the command line ``given``.

    A pipeline of albumentations is meant to be all that happens: without a word, nothing is added.
    """
    name = config.augment.preset
    if name == "default" and config.augment.pipeline:
        name = config.augment.preset = "none"
    for setting, value in PRESETS[name].items():
        if f"augment.{setting}" not in given:
            setattr(config.augment, setting, value)


def _name_run(config: Config, recipe: Path) -> None:
    slug = config.competition.slug
    if not slug.strip("/"):
        raise UsageError("competition= names no competition; try competition=digits")
    if "/" in slug or slug.startswith("."):  # a path: the run must find it from any folder
        slug = os.path.normpath(Path(slug).expanduser().absolute())
    config.competition.slug = slug
    config.run = config.run or f"{Path(slug).name}-{recipe.stem}"
    check_run_name(config.run)
    if config.debug and not config.run.endswith("-debug"):
        config.run += "-debug"


def check_run_name(name: str, key: str = "run") -> None:
    """Raises UsageError for a name that is none for a run's folder and submission."""
    if not re.fullmatch(r"[^\W_][\w.+=@-]*", name):
        raise UsageError(
            f"{key}={name} cannot be a folder's name: letters, digits and . _ - + = @, "
            f"beginning with a letter or digit; say {key}=NAME"
        )
    if name.lower() == "log":  # some disks take LOG.csv for log.csv
        raise UsageError(
            f"{key}={name} is taken: submissions/log.csv is the log of all that was sent; "
            f"say {key}=NAME"
        )


def _value(config: Config, key: str) -> Any:
    value: Any = config
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
