"""Views are what their names say, each once, and can be undone where they lose nothing."""

import subprocess
import sys

import pytest
import torch

from foldwise.errors import UsageError
from foldwise.prediction.tta import views_of
from foldwise.prediction.views import D4, PARTS, SETS, canonical, file_name
from helpers import CLONE

IMAGES = torch.randint(0, 256, (3, 16, 16, 3), dtype=torch.uint8, generator=torch.manual_seed(0))
UNDONE = {"rot90": "rot270", "rot270": "rot90"}


@pytest.mark.parametrize("name", D4)
def test_views_undone_give_the_input_back(name: str) -> None:
    view = views_of(name, 16)[name]
    back = views_of(UNDONE.get(name, name), 16)[UNDONE.get(name, name)]
    assert torch.equal(back(view(IMAGES)), IMAGES)
    assert name == "plain" or not torch.equal(view(IMAGES), IMAGES)


@pytest.mark.parametrize("setting", [*SETS, *PARTS])
@pytest.mark.parametrize("size", [8, 16, 224])
def test_sets_have_distinct_views_of_the_same_shape(setting: str, size: int) -> None:
    images = torch.randint(0, 256, (1, size, size, 3), dtype=torch.uint8)
    views = views_of(setting, size)
    seen = [view(images) for view in views.values()]
    assert all(one.shape == images.shape and one.dtype == torch.uint8 for one in seen)
    for n, one in enumerate(seen):
        assert not any(torch.equal(one, other) for other in seen[:n]), list(views)[n]
    wanted = {"none": 1, "flip": 2, "flips": 4, "d4": 8, "crop4": 4, "shift16": 16,
              "multiscale": 3, "views8": 8, "views16": 16}  # fmt: skip
    assert len(views) == wanted[setting]


def test_the_moore_neighbourhood() -> None:
    names = list(views_of("shift16", 32))
    steps = {tuple(int(part) for part in name.split(":")[1:]) for name in names}
    assert steps == {
        (s * y, s * x) for s in (1, 2) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)
    }


def test_a_shift_repeats_the_border() -> None:
    moved = views_of("shift:2:-1", 16)["shift:2:-1"](IMAGES)
    assert torch.equal(moved[:, 2:, :-1], IMAGES[:, :-2, 1:])
    assert torch.equal(moved[:, 0, :-1], IMAGES[:, 0, 1:])


def test_zoom_keeps_the_middle_and_undoes_roughly() -> None:
    ramp = torch.linspace(0, 255, 32).to(torch.uint8)[None, None, :, None].expand(1, 32, 32, 1)
    larger = views_of("zoom:2", 32)["zoom:2"](ramp)
    assert (larger[0, 16, 16, 0].int() - ramp[0, 16, 16, 0].int()).abs() <= 4
    slope = larger[0, 16, 20, 0].int() - larger[0, 16, 12, 0].int()
    assert slope == pytest.approx(4 * 255 / 31, abs=2)  # half of what eight steps were
    smaller = views_of("zoom:0.5", 32)["zoom:0.5"](ramp)
    slope = smaller[0, 16, 18, 0].int() - smaller[0, 16, 14, 0].int()
    assert slope == pytest.approx(8 * 255 / 31, abs=3)


def test_lists_and_unknown_views() -> None:
    assert list(views_of("plain, hflip,plain,zoom:1.2", 16)) == ["plain", "hflip", "zoom:1.2"]
    with pytest.raises(UsageError, match=r"tta.views=flp: there is no view 'flp'.*mean 'flip'"):
        views_of("flp", 16)
    with pytest.raises(UsageError, match=r"=shift16,foo: shift16 is a set, and a set stands alone"):
        views_of("shift16,foo", 16)
    with pytest.raises(UsageError, match=r"move:DOWN:RIGHT and zoom:FACTOR; did you mean 'move:1"):
        views_of("mvoe:1:0", 16)
    for wrong in ("zoom:0", "zoom:x", "shift:1", ""):
        with pytest.raises(UsageError, match="there is no view"):
            views_of(wrong, 16)


@pytest.mark.parametrize("size", [8, 16, 224])
def test_one_text_for_all_that_mean_the_same(size: int) -> None:
    for name in (*SETS, *PARTS):
        assert canonical(name, size) == name
        assert canonical(",".join(reversed(list(views_of(name, size)))), size) == name
    assert canonical("plain", size) == "none"
    assert canonical("hflip, plain,hflip", size) == "flip"
    assert canonical("rot90,zoom:1.20,shift:-01:0,plain+hflip", size) == (
        "hflip,rot90,shift:-1:0,zoom:1.2"
    )
    assert file_name("rot90,zoom:1.2,hflip+shift:-1:0") == "rot90_zoom=1.2_hflip+shift=-1=0"


def test_a_part_of_a_files_name_says_its_views() -> None:
    for views in ("plain,hflip+shift:-1:0,zoom:1.2", "flip", "views16"):
        assert canonical(file_name(views), 224) == views


def test_any_number_of_steps_one_after_the_other() -> None:
    view = views_of("hflip+shift:1:0+vflip", 16)["hflip+shift:1:0+vflip"]
    wanted = views_of("shift:1:0", 16)["shift:1:0"](IMAGES.flip(2)).flip(1)
    assert torch.equal(view(IMAGES), wanted)


def test_the_words_need_no_torch() -> None:
    code = "import sys, foldwise.prediction.views; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=CLONE / "src").returncode == 0
