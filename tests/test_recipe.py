import pytest

from foldwise import compose
from foldwise.config import Config
from foldwise.recipe import adopt, differences, recipe_hash


def test_the_recipe_hash_knows_what_shapes_the_result_and_nothing_else() -> None:
    base = recipe_hash(compose.compose([]))
    for word in (
        "run=other",
        "fold=0",
        "overwrite=true",
        "images.workers=3",
        "train.device=cpu",
        "folds.seed=3",
        "competition.metric=f1_macro",
    ):
        assert recipe_hash(compose.compose([word])) == base, word
    for word in ("seed=1", "optimizer.lr=0.5", "model.args={a: 1}", "debug=true"):
        assert recipe_hash(compose.compose([word])) != base, word


def test_differences_name_the_settings() -> None:
    old, new = Config(), Config()
    new.optimizer.lr, new.fold = 0.5, "3"
    assert differences(old, new) == ["optimizer.lr: 0.002 -> 0.5"]


def test_open_settings_adopt_what_the_run_decided() -> None:
    stored, config = Config(), Config()
    stored.images.size, stored.model.name, stored.train.precision = 32, "resnet18", "bf16"
    config.images.size = 64
    adopt(config, stored)
    assert (config.images.size, config.model.name, config.train.precision) == (
        64,
        "resnet18",
        "bf16",
    )


def test_the_hours_count_where_they_decide_the_epochs() -> None:
    limits = [compose.compose(["train.epochs=3", *more]) for more in ([], ["train.hours=1"])]
    assert recipe_hash(limits[0]) == recipe_hash(limits[1])
    assert not differences(*limits)
    plans = [compose.compose([f"train.hours={n}"]) for n in (1, 2)]
    assert recipe_hash(plans[0]) != recipe_hash(plans[1])
    assert differences(*plans) == ["train.hours: 1.0 -> 2.0"]


@pytest.mark.parametrize(
    "watching", ["train.keep=best", "train.patience=3", "schedule.name=plateau"]
)
def test_the_metric_counts_where_it_is_watched(watching: str) -> None:
    def of(*words: str) -> Config:
        return compose.compose([watching, *words])

    two = [of(f"competition.metric={name}") for name in ("accuracy", "log_loss")]
    assert recipe_hash(two[0]) != recipe_hash(two[1])
    assert differences(*two) == ["competition.metric: accuracy -> log_loss"]
    for word in ("competition.threshold=0.3", "competition.thresholds={x: 0.3}"):
        for metric, counts in (("f1_macro", True), ("recall:x", True), ("log_loss", False)):
            said = [of(f"competition.metric={metric}", *more) for more in ([], [word])]
            changed = recipe_hash(said[0]) != recipe_hash(said[1])
            assert changed == counts == bool(differences(*said))
