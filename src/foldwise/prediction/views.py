"""The views of test-time augmentation as words: sets, names, and one text for what is the same.

The name of a view says what it does: plain; hflip, vflip; rot90, rot180, rot270 (counterclockwise);
transpose and antitranspose (mirrored at a diagonal); shift:DOWN:RIGHT by whole pixels, and
move:DOWN:RIGHT by sixteenths of the side, the border repeated; zoom:F, the middle F times as large,
or smaller with the border repeated. `tta` makes functions of them; nothing here imports torch.
"""

import re

from foldwise.errors import UsageError, nearest

_MOORE = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
D4 = ["plain", "hflip", "vflip", "rot90", "rot180", "rot270", "transpose", "antitranspose"]
SETS = {
    "none": ["plain"],
    "flip": ["plain", "hflip"],
    "flips": ["plain", "hflip", "vflip", "rot180"],
    "d4": D4,
    "crop4": ["plain", "hflip", "zoom:1.143", "vflip"],  # the middle 7 eighths
    "shift16": [f"shift:{step * y}:{step * x}" for step in (1, 2) for y, x in _MOORE],
    "multiscale": ["zoom:0.8", "plain", "zoom:1.2"],
}
# Sets of views that suit photographs: mirrored or not, moved by a sixteenth of the side, larger.
_AROUND = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
PARTS = {
    "views8": ["plain", "move:0:1", "move:0:-1", "zoom:1.143"],
    "views16": [*(f"move:{y}:{x}" for y, x in _AROUND), "zoom:1.143", "zoom:1.3", "zoom:0.9"],
}
SIXTEENTH = 16
SHIFT, ZOOM = r"shift:(-?\d+):(-?\d+)", r"zoom:(\d*\.?\d+)"


def names_of(setting: str, size: int) -> list[str]:
    """The views of a set, or of names with commas between, for images of ``size`` pixels a side.

    Each distinct one once; `file_name`'s words are taken, too. Raises UsageError for a name that
    is neither.
    """
    if setting in PARTS:
        names = [f"{flip}{part}" for part in PARTS[setting] for flip in ("", "hflip+")]
    else:
        names = SETS.get(setting) or [name.strip() for name in named_so(setting).split(",")]
    exact = [_in_pixels(name, size) for name in names]
    for name, said in zip(exact, names, strict=True):
        if not all(_is_view(part) for part in name.split("+")):
            raise _no_view(setting, said)
    return list(dict.fromkeys(exact))


def _no_view(setting: str, said: str) -> UsageError:
    """The line for a name in ``setting`` that is no view."""
    if said in (*SETS, *PARTS):
        return UsageError(
            f"tta.views={setting}: {said} is a set, and a set stands alone: say {said}, or a list "
            "of views without it"
        )
    known = [*SETS, *PARTS, *D4, "shift:1:0", "move:1:0", "zoom:1.2"]
    return UsageError(
        f"tta.views={setting}: there is no view '{said}'; the sets are "
        f"{', '.join([*SETS, *PARTS])}, the views {', '.join(D4)}, shift:DOWN:RIGHT, "
        f"move:DOWN:RIGHT and zoom:FACTOR{nearest(said, known)}"
    )


def canonical(setting: str, size: int) -> str:
    """One text for all that mean the same views: a set's name, or sorted names, plain first.

    Raises UsageError as `names_of`.
    """
    names = names_of(setting, size)
    for known in (*SETS, *PARTS):
        if set(names_of(known, size)) == set(names):
            return known
    return ",".join(sorted(names, key=lambda name: (name != "plain", name)))


def file_name(views: str) -> str:
    """Canonical views as a part of files' names: _ for a comma, = for a colon."""
    return views.replace(",", "_").replace(":", "=")


def named_so(name: str) -> str:
    """The views whose `file_name` this is."""
    return name.replace("_", ",").replace("=", ":")


def _in_pixels(name: str, size: int) -> str:
    """move:1:0 is a shift by a sixteenth of the side; hflip+plain is hflip; zoom:1.20 zoom:1.2."""
    match = re.fullmatch(r"(.*)move:(-?\d+):(-?\d+)", name)
    if match:
        step = max(1, round(size / SIXTEENTH))
        name = f"{match[1]}shift:{int(match[2]) * step}:{int(match[3]) * step}"
    name = re.sub(SHIFT, lambda m: f"shift:{int(m[1])}:{int(m[2])}", name)
    name = re.sub(rf"{ZOOM}$", lambda m: f"zoom:{float(m[1]):g}", name)
    name = re.sub(r"shift:0:0$", "plain", name)
    return name.removesuffix("+plain").removeprefix("plain+")


def _is_view(name: str) -> bool:
    if zoom := re.fullmatch(ZOOM, name):
        return 0.1 <= float(zoom[1]) <= 10
    return name in D4 or bool(re.fullmatch(SHIFT, name))
