"""The pages in a real browser: clicked, sorted, searched, narrow and dark."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from foldwise import cli
from foldwise.runs import Run
from report.browser import Browser, browser, missing
from report.made import HARD, make_run

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "there is one")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as one:
        yield one


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Three runs with hard names, the page of all and that of one."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOLDWISE_HOME", str(home))
        for name, skill in (("best", 4.0), ("middle", 2.0), ("worst", 1.0)):
            make_run(name, classes=HARD, skill=skill, seed=int(skill), optimizer__lr=skill / 1000)
        assert cli.main(["report", "run=middle"]) == cli.main(["report"]) == 0
        yield home / "oof"


def first_column(chromium: Browser) -> list[str]:
    return chromium.texts("#runs tbody td:first-child")


def test_all_runs(chromium: Browser, pages: Path) -> None:
    chromium.size(1200, 900)
    chromium.dark(False)
    chromium.open(pages / "made.html")
    assert first_column(chromium) == ["best", "middle", "worst"]
    chromium.click("#runs th:nth-child(2) button")  # numbers: the largest first
    assert first_column(chromium) == ["best", "middle", "worst"]
    chromium.click("#runs th:nth-child(2) button")
    assert first_column(chromium) == ["worst", "middle", "best"]
    chromium.click("#runs th:nth-child(1) button")  # words: a to z
    assert first_column(chromium) == ["best", "middle", "worst"]
    chromium.type("#runs input", "lr=0.001")
    assert first_column(chromium) == ["worst"]
    assert chromium.errors() == []


def test_two_runs_side_by_side(chromium: Browser, pages: Path) -> None:
    chromium.size(1200, 900)
    chromium.open(pages / "made.html")
    side = " ".join(chromium.texts("#side"))
    assert "McNemar" in side and "optimizer.lr" in side
    assert "only best is right on" in side and "0.002" in side
    assert len(chromium.texts("#side figure")) == 9
    chromium.type("#left", "worst")
    table = chromium.texts("#side th")
    assert table[1:3] == ["worst", "middle"]
    assert "only middle is right on" in " ".join(chromium.texts("#side"))
    chromium.type("#right", "worst")
    assert chromium.texts("#side") == ["Choose two different runs."]
    assert chromium.errors() == []


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("dark", [False, True])
def test_narrow_and_dark(
    chromium: Browser, pages: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    chromium.size(width, 850)
    chromium.dark(dark)
    for path in (pages / "made.html", Run("middle").report_folder / "report.html"):
        chromium.open(path)
        wide = chromium.run("return document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, "the page itself never scrolls sideways"
        chromium.shot(tmp_path / "page.png", whole=True)
        picture = cv2.imread(str(tmp_path / "page.png"))
        assert picture.shape[1] == width
        background = float(np.median(picture))
        assert background < 60 if dark else background > 200
        assert picture.std() > 5, "something is drawn"
        assert chromium.errors() == []


def test_the_button_changes_the_theme_and_links_lead_to_sections(
    chromium: Browser, pages: Path
) -> None:
    chromium.size(1200, 900)
    chromium.dark(False)
    chromium.open(Run("middle").report_folder / "report.html")
    paper = "return getComputedStyle(document.body).backgroundColor"
    before = chromium.run(paper)
    assert chromium.texts("#theme") == ["dark"]
    chromium.click("#theme")
    assert (chromium.run(paper) != before, chromium.texts("#theme")) == (True, ["light"])
    fills = "return [...document.querySelectorAll('svg text')].map(t => getComputedStyle(t).fill)"
    # Figures follow the theme: its ink, and the blue and orange of the losses' axes.
    ink = {"rgb(231, 233, 237)", "rgb(86, 180, 233)", "rgb(240, 138, 60)"}
    assert ink <= set(chromium.run(fills))
    chromium.click("nav a[href='#settings']")
    seen = "return document.getElementById('settings').getBoundingClientRect().top"
    chromium.run("document.documentElement.style.scrollBehavior = 'auto'")
    chromium.click("nav a[href='#confidence']")
    chromium.click("nav a[href='#settings']")
    assert 0 <= chromium.run(seen) < 900
    assert chromium.run("return document.querySelectorAll('script').length") == 1
