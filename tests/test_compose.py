from pathlib import Path

import pytest

from foldwise import compose
from foldwise.competition import metrics
from foldwise.config import DECIDED
from foldwise.errors import FoldwiseError, UsageError
from foldwise.recipe import differences, recipe_hash


@pytest.mark.parametrize("text", ["007", "yes", "1e5", "0001", "1.0"])
def test_text_settings_take_the_text_as_it_stands(text: str) -> None:
    assert compose.compose([f"run={text}"]).run == text
    assert compose.compose([f"competition={text}"]).competition.slug == text


def test_values_get_the_type_of_their_setting() -> None:
    config = compose.compose(
        ["optimizer.lr=1e-3", "optimizer.betas=[0.9, 0.95]", "model.pretrained=true",
         "model.args={width: 2}", "model.args.depth=3", "train.epochs=7"]
    )  # fmt: skip
    assert config.optimizer.lr == 1e-3
    assert config.optimizer.betas == [0.9, 0.95]
    assert config.model.pretrained is True
    assert config.model.args == {"width": 2, "depth": 3}
    assert compose.compose(["competition.classes=[no, 0001, 1e5]"]).competition.classes == [
        *("no", "0001", "1e5")
    ]
    assert config.train.epochs == 7


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("trian.epochs=3", "no setting 'trian.epochs'; did you mean 'train.epochs'?"),
        ("train.precision=bf15", "not one of auto, bf16, fp16, fp32; did you mean 'bf16'?"),
        ("train.epochs=many", "train.epochs=many is not of type int"),
        ("optimizer.betas=[a, b]", r"is not a list of numbers: \[0.5, 1\]"),
        ("augment.scales=[a]", "is not a list of numbers"),
        ("competition.classes=cat", "is not a list of names"),
        ("competition.thresholds={no: x}", "is not a number for each of some names"),
        ("train.epochs=-1", "out of range: it must be at least 0"),
        ("augment.hflip=1.5", "from 0 to 1"),
        ("loss.smoothing=nan", "out of range"),
        ("train=3", "'train' is a group of settings"),
        ("epochs", "'epochs' is not key=value"),
        ("config=defualt", "no recipe 'defualt' .* did you mean 'default'?"),
        ("run=a/b", "cannot be a folder's name"),
        ("run=../up", "cannot be a folder's name"),
        ("run=log", "run=log is taken: submissions/log.csv is the log of all that was sent"),
        ("run=Log", "run=Log is taken"),
        ("competition=", "names no competition"),
        ("model.args=[", "cannot be read"),
        ("overwrite=perhaps", "not of type bool"),
        ("seed=${nowhere}", "nowhere"),
    ],
)
def test_wrong_words_are_usage_errors(word: str, line: str) -> None:
    with pytest.raises(UsageError, match=line):
        compose.compose([word])


def test_a_recipe_with_an_unknown_key_names_file_and_key(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("train: {epoch: 3}\n")
    with pytest.raises(UsageError, match=r"mine\.yaml: there is no setting 'train\.epoch'"):
        compose.compose([f"config={recipe}"])
    recipe.write_text("train: {epochs: 3}\ncompetition: digits\n")
    config = compose.compose([f"config={recipe}", "train.epochs=4"])
    assert (config.train.epochs, config.run) == (4, "digits-mine")
    recipe.write_text("- a list\n")
    with pytest.raises(UsageError, match=r"not a list of settings|not readable YAML"):
        compose.compose([f"config={recipe}"])


def test_names_stay_text_however_they_look(tmp_path: Path) -> None:
    for name in ("16", "yes", "0001", "1e5"):
        settings = compose.compose([f"competition.thresholds={{{name}: 0.3}}"]).competition
        assert settings.thresholds == {name: 0.3}
    assert compose.compose(["model.args={on: [1, no]}"]).model.args == {"on": [1, False]}
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(
        "competition: {classes: [no, yes, 010, 'ä: b'], thresholds: {no: 3e-1}}\n"
        "model.args: &base {a: 1e-3}\n"
        "optimizer: {args: {<<: *base, 8: x}}\n"
        "loss.class_weights: {no: 2}\n"
    )
    config = compose.compose([f"config={recipe}"])
    assert config.competition.classes == ["no", "yes", "010", "ä: b"]
    assert config.competition.thresholds == {"no": 0.3}
    assert config.model.args == {"a": 0.001}
    assert config.optimizer.args == {"a": 0.001, "8": "x"}
    assert config.loss.class_weights == {"no": 2.0}


def test_a_run_is_named_after_competition_and_recipe() -> None:
    assert compose.compose([]).run == "digits-default"
    config = compose.compose(["competition=/data/cifar10/"])
    assert (config.run, config.competition.slug) == ("cifar10-default", "/data/cifar10")
    here = compose.compose(["competition=../pets"])  # found again from any folder
    assert here.competition.slug == str(Path.cwd().parent / "pets")
    assert compose.compose(["run=x", "debug=true"]).run == "x-debug"


def test_every_shipped_recipe_composes_and_says_what_it_does() -> None:
    recipes = sorted(compose.RECIPES.glob("*.yaml"))
    assert recipes
    for recipe in recipes:
        compose.compose([f"config={recipe.stem}"])
        head = recipe.read_text().split("\n\n")[0]
        assert "./run.sh" in head, f"{recipe.name} does not say the command that runs it"


def test_a_written_config_reads_back_as_it_was(tmp_path: Path) -> None:
    config = compose.compose(["run=1e5", "model.args={a: [1, x]}", "competition.classes=[01, yes]"])
    (tmp_path / "config.yaml").write_text(compose.to_yaml(config))
    again = compose.load_config(tmp_path / "config.yaml")
    assert recipe_hash(again) == recipe_hash(config)
    assert (again.run, again.model) == (config.run, config.model)
    assert differences(config, again) == []
    assert again.competition.classes == ["01", "yes"]
    for damaged in ("", "config: default\nrun: r\n"):
        (tmp_path / "config.yaml").write_text(damaged)
        with pytest.raises(FoldwiseError, match=r"config\.yaml: .* empty or cut off; restore it"):
            compose.load_config(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("nonsense: 1\n")
    with pytest.raises(FoldwiseError, match="there is no setting 'nonsense'"):
        compose.load_config(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("text", "folds"),
    [("0..4", [0, 1, 2, 3, 4]), ("0,2", [0, 2]), ("3", [3]), ("all", [0, 1, 2, 3, 4]),
     ("0..1,3", [0, 1, 3]), ("2,0,2", [0, 2])],
)  # fmt: skip
def test_fold_lists(text: str, folds: list[int]) -> None:
    assert compose.parse_folds(text, 5) == folds


@pytest.mark.parametrize("text", ["5", "0..5", "4..2", "", "x", "-1", "1.5", "0,,1"])
def test_fold_lists_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="fold="):
        compose.parse_folds(text, 5)


def test_a_range_of_folds_goes_upwards() -> None:
    with pytest.raises(UsageError, match=r"fold=4\.\.0: a range goes upwards, 0\.\.4"):
        compose.parse_folds("4..0", 5)


def test_hours_of_the_command_line_outdo_the_epochs_of_a_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("train: {epochs: 7}")
    assert compose.compose([f"config={recipe}"]).train.epochs == 7
    assert compose.compose([f"config={recipe}", "train.hours=2"]).train.epochs == 0
    assert (
        compose.compose([f"config={recipe}", "train.hours=2", "train.epochs=9"]).train.epochs == 9
    )
    recipe.write_text("train: {epochs: 7, hours: 2}")
    assert compose.compose([f"config={recipe}"]).train.epochs == 7
    recipe.write_text("train: {hours: 2}")
    assert compose.compose([f"config={recipe}"]).train.epochs == 0


def test_the_metrics_of_decided_labels_are_all_named() -> None:
    decided = {name.rstrip(":") for name, kind in metrics.METRICS.items() if kind.decided}
    assert decided == DECIDED


def test_auto_stands_for_a_number(tmp_path: Path) -> None:
    assert compose.compose(["train.batch_size=auto"]).train.batch_size == 0
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("train: {batch_size: auto}")
    assert compose.compose([f"config={recipe}"]).train.batch_size == 0
    with pytest.raises(UsageError, match="is not of type"):
        compose.compose(["train.accumulate=auto"])
