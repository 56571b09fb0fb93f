"""model.weights=PATH: what is loaded, what is said, what is refused."""

from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from foldwise.compose import compose
from foldwise.config import Model
from foldwise.errors import FoldwiseError
from foldwise.models.build import BuiltModel, build_model
from foldwise.models.weights import check_digest
from foldwise.recipe import recipe_hash
from helpers import CLONE, QUICK, Ended

REAL = CLONE.parent / "shared/data/mobilenetv2_100.tf_in1k_coral.safetensors"
SMALL = {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]}


def donor(classes: int = 7, channels: int = 3) -> nn.Module:
    torch.manual_seed(1)
    return timm.create_model("resnet18", num_classes=classes, in_chans=channels, **SMALL)


def built(path: Path, classes: int = 7, **settings: object) -> BuiltModel:
    torch.manual_seed(2)
    return build_model(Model("resnet18", args=SMALL, weights=str(path), **settings), classes, 32)


def same(one: dict[str, Tensor], two: dict[str, Tensor], *but: str) -> None:
    for name, value in one.items():
        if not name.startswith(but or ("-",)):
            assert torch.equal(value, two[name]), name


@pytest.mark.parametrize("kind", ["weights.safetensors", "weights.pth", "weights.pt"])
def test_both_kinds_of_file(tmp_path: Path, kind: str) -> None:
    path, weights = tmp_path / kind, donor().state_dict()
    save_file(weights, path) if kind.endswith("tensors") else torch.save(weights, path)
    found = built(path)
    same(weights, found.network.state_dict())
    assert found.loaded is not None
    assert f"{len(weights)} of {len(weights)} tensors loaded (100.0%" in found.loaded.line()


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.module."])
@pytest.mark.parametrize("inside", ["", "state_dict", "model_ema"])
def test_the_wrappings_of_other_peoples_checkpoints(
    tmp_path: Path, prefix: str, inside: str
) -> None:
    weights = donor().state_dict()
    content: dict[str, object] = {prefix + name: value for name, value in weights.items()}
    if inside:
        content = {inside: content, "epoch": 3, "optimizer": {"state": {0: torch.ones(1)}}}
    torch.save(content, tmp_path / "a.pth")
    same(weights, built(tmp_path / "a.pth").network.state_dict())


def test_our_own_checkpoint_gives_its_averaged_weights(tmp_path: Path) -> None:
    weights = donor().state_dict()
    last = {name: torch.zeros_like(value) for name, value in weights.items()}
    torch.save(
        {"identity": "x", "network": last, "ema": weights, "step": 3}, tmp_path / "last.ckpt"
    )
    same(weights, built(tmp_path / "last.ckpt").network.state_dict())


def test_another_number_of_classes_leaves_the_last_layer_as_it_was(tmp_path: Path) -> None:
    weights = donor(classes=1000).state_dict()
    torch.save(weights, tmp_path / "a.pth")
    found = built(tmp_path / "a.pth")
    same(weights, found.network.state_dict(), "fc.")
    torch.manual_seed(2)
    untouched = timm.create_model("resnet18", num_classes=7, **SMALL).fc.weight
    assert torch.equal(found.network.fc.weight, untouched)
    assert found.loaded is not None
    assert found.loaded.skipped == ["fc.weight (1000x16, here 7x16)", "fc.bias (1000, here 7)"]
    assert "skipped: fc.weight (1000x16, here 7x16), fc.bias" in found.loaded.line()


@pytest.mark.parametrize(("there", "here"), [(3, 1), (1, 3), (3, 6), (3, 4), (6, 1), (2, 5)])
def test_another_number_of_channels_keeps_what_gray_pictures_give(
    tmp_path: Path, there: int, here: int
) -> None:
    source = donor(channels=there)
    torch.save(source.state_dict(), tmp_path / "a.pth")
    found = built(tmp_path / "a.pth", in_chans=here)
    same(source.state_dict(), found.network.state_dict(), "conv1")
    assert found.loaded is not None
    assert [line.split()[0] for line in found.loaded.reshaped] == ["conv1.weight"]
    gray = torch.rand(2, 1, 32, 32)
    wanted, got = source.conv1(gray.expand(-1, there, -1, -1)), found.network.conv1
    if there in (1, 3) and here in (1, 3, 6):  # the others can only come near
        torch.testing.assert_close(got(gray.expand(-1, here, -1, -1)), wanted, rtol=1e-3, atol=1e-4)
    assert got.weight.shape[1] == here


def test_channels_as_timm_turns_them(tmp_path: Path) -> None:
    source = donor()
    torch.save(source.state_dict(), tmp_path / "a.pth")
    for channels in (1, 2, 4, 6):
        found = built(tmp_path / "a.pth", in_chans=channels).network.conv1.weight
        wanted = timm.models.adapt_input_conv(channels, source.conv1.weight.detach().clone())
        torch.testing.assert_close(found.detach(), wanted)


def test_space_to_depth_turns_gray_pixel_by_pixel(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = timm.create_model("dual_branch", num_classes=7, width=0.25).eval()
    torch.save(source.state_dict(), tmp_path / "a.pth")
    settings = Model(
        "dual_branch", args={"width": 0.25}, weights=str(tmp_path / "a.pth"), in_chans=1
    )
    network, gray = build_model(settings, 7, 32).network.eval(), torch.rand(2, 1, 32, 32)
    wanted = source(gray.expand(-1, 3, -1, -1))
    torch.testing.assert_close(network(gray), wanted, rtol=1e-3, atol=1e-4)


def test_a_large_stem_becomes_a_small_one_and_a_small_one_stays(tmp_path: Path) -> None:
    source = donor()
    torch.save(source.state_dict(), tmp_path / "a.pth")
    found = built(tmp_path / "a.pth", stem="small")
    assert found.loaded is not None
    assert "conv1.weight (64x3x7x7, here 64x3x3x3)" in found.loaded.line()
    torch.save(found.network.state_dict(), tmp_path / "b.pth")
    again = built(tmp_path / "b.pth", stem="small")
    assert again.loaded is not None and not again.loaded.reshaped
    same(found.network.state_dict(), again.network.state_dict())


def test_positions_of_a_transformer_are_resampled_as_timm_does(tmp_path: Path) -> None:
    source = timm.create_model("vit_tiny_patch16_224", num_classes=7, depth=1)
    torch.save(source.state_dict(), tmp_path / "a.pth")
    settings = Model("vit_tiny_patch16_224", args={"depth": 1}, weights=str(tmp_path / "a.pth"))
    found = build_model(settings, 7, 64)
    assert found.network.pos_embed.shape == (1, 17, 192)
    assert found.loaded is not None and found.loaded.loaded == found.loaded.tensors
    assert torch.equal(found.network.pos_embed[:, 0], source.pos_embed[:, 0])


def test_what_has_no_place_and_what_is_missing_is_named(tmp_path: Path) -> None:
    weights = donor().state_dict()
    weights["extra.weight"] = torch.ones(3)
    del weights["layer2.0.bn1.bias"]
    torch.save(weights, tmp_path / "a.pth")
    line = built(tmp_path / "a.pth").loaded.line()
    assert "not in the file: layer2.0.bn1.bias; not used of it: extra.weight" in line


def test_another_networks_file_is_refused(tmp_path: Path) -> None:
    torch.save(timm.create_model("mobilenetv3_small_050").state_dict(), tmp_path / "a.pth")
    with pytest.raises(FoldwiseError, match=r"a\.pth is not of this network: only 0 of its"):
        built(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (None, "cannot be read .*No such file"),
        (b"", "cannot be read"),
        (b"not weights at all", "cannot be read|no file of weights"),
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_files_that_are_no_weights(
    tmp_path: Path, name: str, content: bytes | None, line: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FoldwiseError, match=line) as error:
        built(path)
    assert "\n" not in str(error.value)


def test_a_pickled_model_is_not_run(tmp_path: Path) -> None:
    torch.save(donor(), tmp_path / "a.pth")
    with pytest.raises(FoldwiseError, match="holds more than weights"):
        built(tmp_path / "a.pth")
    torch.save({"epoch": 3}, tmp_path / "b.pth")
    with pytest.raises(FoldwiseError, match="holds no weights"):
        built(tmp_path / "b.pth")


def test_trained_weights_need_no_first_ones() -> None:
    settings = Model("resnet18", args=SMALL, weights="gone.pth")
    assert build_model(settings, 7, 32, first_weights=False).network


def test_the_recipe_hash_knows_the_content_not_the_name(tmp_path: Path) -> None:
    one, two, other = (tmp_path / name for name in ("one.pth", "two.pth", "other.pth"))
    one.write_bytes(b"weights")
    two.write_bytes(b"weights")
    other.write_bytes(b"others")
    hashes = []
    for path in (one, two, other):
        config = compose([f"model.weights={path}"])
        config.model.weights_digest = check_digest(config.model)
        hashes.append(recipe_hash(config))
    assert hashes[0] == hashes[1] != hashes[2] != recipe_hash(compose([]))
    with pytest.raises(FoldwiseError, match="not the file that the recipe means"):
        check_digest(
            Model(weights=str(other), weights_digest=check_digest(Model(weights=str(one))))
        )


def test_a_run_begins_with_the_file_and_goes_on_with_no_other(
    foldwise: Callable[..., Ended], pets: Path, tmp_path: Path
) -> None:
    words = ("competition=pets", "model.name=convnet2", *QUICK)
    first = foldwise(*words, "run=first", "fold=0")
    assert first.code == 0, first.err
    weights = f"model.weights={tmp_path / 'oof/first/fold0/model.safetensors'}"
    began = foldwise(*words, "run=second", "fold=0", weights)
    assert began.code == 0, began.err
    assert "fold0/model.safetensors: 26 of 26 tensors loaded (100.0%" in began.err
    log = (tmp_path / "oof/second/fold0/train.log").read_text()
    assert "tensors loaded" in log
    without = foldwise(*words, "run=second", "fold=1")
    assert without.code != 0
    assert "model.weights_digest" in without.err
    seen = foldwise(*words, "run=second", "fold=1", weights)
    assert seen.code == 1 and "has seen labels of the folds 1" in seen.err
    gone = foldwise(*words, "run=third", "fold=0", "model.weights=nowhere.pth")
    assert gone.code == 1
    assert "model.weights=nowhere.pth cannot be read (No such file" in gone.err


@pytest.mark.skipif(not REAL.is_file(), reason="no ../shared/data beside the clone")
def test_real_imagenet_weights() -> None:
    settings = Model("mobilenetv2_100", args={"pad_type": "same"}, weights=str(REAL), in_chans=1)
    found = build_model(settings, 12, 32)
    assert found.loaded is not None
    assert (found.loaded.loaded, found.loaded.tensors, found.loaded.share) == (312, 314, 1.0)
    with pytest.raises(FoldwiseError, match="not of this network"):
        build_model(Model("mobilenetv3_small_100", weights=str(REAL)), 12, 32)
