from collections.abc import Callable

import pytest
import timm
import torch

from foldwise.config import Model
from foldwise.models.listing import matching, size_of, source
from helpers import Ended


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "se_resnet_small"])
def test_sizes_are_those_of_the_built_model(name: str) -> None:
    options = {"img_size": 64} if "vit" in name else {}
    network = timm.create_model(name, num_classes=10, **options)
    assert size_of(Model(name=name), 64).parameters == sum(p.numel() for p in network.parameters())


def test_multiply_adds_of_a_network_that_can_be_counted_by_hand() -> None:
    found = size_of(Model(name="convnet2", args={"widths": [4]}), side=10, classes=3)
    assert found.multiply_adds == 10 * 10 * 9 * (3 * 4 + 4 * 4) + 4 * 3


def test_settings_count_too() -> None:
    plain, small = size_of(Model(name="resnet50"), 32), size_of(Model("resnet50", stem="small"), 32)
    assert small.parameters == plain.parameters - 64 * 3 * (49 - 9)
    assert small.multiply_adds > 15 * plain.multiply_adds


def test_nothing_is_computed_or_stored() -> None:
    before = torch.random.get_rng_state()
    assert size_of(Model(name="vit_large_patch14_224"), 224).parameters > 3e8
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_verb_lists_ours_and_timms(foldwise: Callable[..., Ended]) -> None:
    ended = foldwise("models")
    assert ended.code == 0, ended.err
    for name in (*matching(""), "resnext50_32x4d", "densenet7x7", "monkeynet"):
        assert sum(line.split()[0] == name for line in ended.out.splitlines()) == 1
    row = next(line for line in ended.out.splitlines() if line.startswith("densenet7x7"))
    assert " ".join(row.split()) == "densenet7x7 3.186 M 3,250.6 M foldwise, no weights"
    some = foldwise("models", "match=resnet[13]?", "size=64").out.splitlines()
    assert [line.split()[0] for line in some[1:]] == ["resnet18", "resnet34"]
    part = foldwise("models", "match=e_resnet_small_s").out.splitlines()
    assert [line.split()[0] for line in part[1:]] == ["se_resnet_small_sd"]
    assert "64 x 64" in some[0]


def test_a_model_that_does_not_run_at_a_size_has_no_multiply_adds() -> None:
    found = size_of(Model(name="inception_v3"), 32)
    assert found.multiply_adds is None and found.parameters > 2e7


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["match=rsenet18"], "there is no such model; did you mean 'resnet18'?"),
        (["size=big"], "no number of pixels"),
        (["size=0"], "no number of pixels"),
        (["name=x"], "models has no key 'name'"),
    ],
)
def test_wrong_words(foldwise: Callable[..., Ended], words: list[str], line: str) -> None:
    ended = foldwise("models", *words)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert line in ended.err


def test_source_says_whose_code_and_whose_weights() -> None:
    assert source("convnet2") == "foldwise, no weights"
    assert source("mobilenet").startswith("foldwise, weights ra_in1k and ")
    assert source("resnet18").startswith("timm, weights a1_in1k and ")
