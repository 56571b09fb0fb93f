"""How every figure looks; a figure as PNG for a file, and as SVG that follows the page's theme."""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

# Okabe and Ito (2008): told apart by the colour-blind. INK, FAINT and PAPER stand for the page's.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
INK, FAINT, PAPER, WHITE = "#1b1d22", "#c9ccd1", "#fefefe", "#ffffff"
WIDE = 7.5  # inches from which a figure is not made as small as a phone
THEMED = {BLUE: "blue", ORANGE: "orange", GREEN: "green", PURPLE: "purple"}
THEMED |= {INK: "ink", FAINT: "line", PAPER: "paper"}
# Names of classes may be in any script: what a machine has of these fonts is used.
FONTS = [
    *("DejaVu Sans", "Noto Sans CJK JP", "Noto Sans CJK SC", "IPAexGothic", "WenQuanYi Zen Hei"),
    *("Hiragino Sans", "PingFang SC", "Arial Unicode MS"),
]
RULES: Any = {  # matplotlib's newest types want each name as a literal
    "font.size": 12, "axes.titlesize": 13, "axes.titleweight": "bold", "axes.titlelocation": "left",
    "axes.labelsize": 12, "xtick.labelsize": 11, "ytick.labelsize": 11, "legend.fontsize": 11,
    "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK, "axes.edgecolor": FAINT,
    "xtick.color": INK, "ytick.color": INK, "xtick.major.size": 0, "ytick.major.size": 0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.grid.axis": "y", "grid.color": FAINT, "grid.linewidth": 0.8, "axes.axisbelow": True,
    "legend.frameon": False, "figure.facecolor": PAPER, "axes.facecolor": "none",
    "lines.linewidth": 2.2, "svg.fonttype": "none",
    "text.parse_math": False,  # a class may be called $100$
}  # fmt: skip


@contextmanager
def styled() -> Iterator[None]:
    """Inside, figures are made and drawn in our style."""
    from matplotlib import font_manager

    known = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [name for name in FONTS if name in known]
    rules = RULES | {"font.family": fonts}
    with rc_context(rules), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # a box stands there
        log = logging.getLogger("matplotlib.font_manager")
        before = log.level
        log.setLevel(logging.ERROR)  # a font of ours that has no bold
        try:
            yield
        finally:
            log.setLevel(before)


def canvas(width: float, height: float, layout: Any = "constrained") -> Figure:
    """An empty figure of so many inches, which no window and no pyplot know of."""
    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    figure.set_layout_engine("none")  # places are found: an SVG of it need not look for them again
    return buffer.getvalue()


def svg(figure: Figure, name: str, says: str) -> str:
    """An <svg> for a page: text stays text, colours become the page's, nothing is outside it.

    ``name`` keeps its ids apart from other figures'; ``says``: for those who cannot see it.
    """
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    outside = r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->"  # a <style> styles the page
    text = re.sub(outside, "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for colour, variable in THEMED.items():
        text = re.sub(rf"(?<=: ){colour}(?=[;\"])", f"var(--{variable})", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=font-family: )[^;\"]*", "var(--font)", text)
    text = re.sub(r"(font: [^;\"]*?px) [^;\"]*", r"\1 var(--font)", text)  # older matplotlibs
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    inches = figure.get_size_inches()[0]
    kind = ' class="wide"' if inches > WIDE else ""
    says = escape(says)
    head = f'<svg{kind} role="img" aria-label="{says}" style="max-width:{inches * 100:.0f}px" '
    return text.replace("<svg ", head, 1)


def tint(shares: np.ndarray, colour: str) -> np.ndarray:
    """Shares from 0 to 1 as RGBA, (…, 4): from nothing at all to the colour, on any paper."""
    rgba = np.empty((*shares.shape, 4))
    rgba[..., :3] = to_rgb(colour)
    rgba[..., 3] = np.clip(shares, 0, 1)
    return rgba


def clipped(name: str, length: int = 18) -> str:
    """A class's name, cut where it is long."""
    plain = " ".join(name.split())
    return plain if len(plain) <= length else plain[: length - 1] + "…"
